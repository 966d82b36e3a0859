"""The statements of docs/database-errors.md."""

import pytest

from runner import client, serve


def test_after_a_commit_an_async_object_is_a_missing_greenlet(database: dict[str, str]):
    """After a commit the object of an async session is read again when you look at it, and that is a `MissingGreenlet`. With `expire_on_commit=False` it keeps what it has."""
    with serve("examples.database_errors.missing_greenlet:app", env=database) as server:
        client.post(f"{server.url}/expired/tea")
        server.wait_for("MissingGreenlet: greenlet_spawn has not been called")
        client.post(f"{server.url}/kept/tea")
        server.wait_for("send_kept: tea")
        assert "send_expired: tea" not in server.transcript()


def test_an_async_session_is_for_one_at_a_time(database: dict[str, str]):
    """Three that share an async session at the same time fail, also if the database is quick. With a session each, all three are done."""
    target = "examples.database_errors.one_session_for_all:app"
    with serve(target, env=database) as server:
        client.post(f"{server.url}/shared")
        server.wait_for("concurrent operations are not permitted")
        client.post(f"{server.url}/one-each")
        for number in range(3):
            server.wait_for(f"count: {number}")


def test_a_sqlite_connection_belongs_to_its_thread():
    """A connection of `sqlite3` that a `def` dependency has opened cannot be used in an `async def` task: that is another thread. With `check_same_thread=False` it can."""
    with serve("examples.database_errors.other_thread:app") as server:
        client.post(f"{server.url}/one-thread")
        server.wait_for("SQLite objects created in a thread can only be used in that")
        client.post(f"{server.url}/any-thread")
        server.wait_for("count: 7")


@pytest.mark.parametrize(("path", "status"), [("/inside", 500), ("/between", 200)])
def test_a_task_that_works_in_a_transaction_locks_sqlite(path: str, status: int):
    """While a task works between two writes of one transaction, every other writer waits for its `timeout`, and gets `database is locked`. If the task commits before it works, nobody waits."""
    with serve("examples.database_errors.locked:app") as server:
        client.post(server.url + path)
        server.wait_for("has written")
        assert client.post(f"{server.url}/notes").status_code == status
        if status == 500:
            server.wait_for("sqlite3.OperationalError: database is locked")
        assert ": done" not in server.transcript()


def test_a_dependency_called_by_hand_keeps_its_connection(database: dict[str, str]):
    """`anext(open_session())` opens a session that nobody closes: its connection stays taken. Entered as a context manager, the dependency gives it back."""
    target = "examples.database_errors.left_to_the_collector:app"
    with serve(target, env=database) as server:
        for path, printed in (("/next", "take_the_next"), ("/entered", "enter_it")):
            client.post(server.url + path)
            server.wait_for(f"{printed}: 7")
            client.get(f"{server.url}/openapi.json")  # the task has ended by then
            pool = client.get(f"{server.url}/pool").json()["pool"]
            assert pool.endswith("Checked out connections: 1")
