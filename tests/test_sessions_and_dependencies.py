"""The statements of docs/sessions-and-dependencies.md."""

from pathlib import Path

import pytest
from sqlalchemy import QueuePool, create_engine
from sqlalchemy.orm import Session

from examples.database_errors import missing_greenlet
from runner import client, serve
from runner.process import PYTHON, start
from tests.copying import changed
from tests.load import post_at_once
from tests.older import serve_with_fastapi
from tests.terminal import stop_and_read

TASK_FIRST = ["session: opened", "send_receipt: done", "session: closed"]


SESSION_FIRST = ["session: opened", "session: closed", "send_receipt: done"]


def test_a_dependency_ends_after_the_tasks():
    """A dependency with `yield` ends after the tasks."""
    with serve("examples.sessions_and_dependencies.when_it_ends:app") as server:
        client.post(f"{server.url}/orders")
        assert stop_and_read(server, "session", "send_receipt") == TASK_FIRST


@pytest.mark.parametrize(
    ("version", "order"), [("0.105.0", TASK_FIRST), ("0.117.1", SESSION_FIRST)]
)
def test_from_0_106_to_0_117_it_ended_before_them(version: str, order: list[str]):
    """With FastAPI 0.117 the same file ended the dependency before the tasks; with 0.105 after them, as today."""
    target = "examples.sessions_and_dependencies.when_it_ends:app"
    with serve_with_fastapi(version, target) as server:
        client.post(f"{server.url}/orders")
        server.wait_for("session: closed")
        server.wait_for("send_receipt: done")
        assert stop_and_read(server, "session", "send_receipt") == order


def test_with_scope_function_it_ends_before_the_response():
    """With `scope="function"` it ends before the response."""
    with serve("examples.sessions_and_dependencies.scope_function:app") as server:
        client.post(f"{server.url}/orders")
        [opened, closed, response, task] = stop_and_read(
            server, "session", "INFO:     127", "s"
        )
    assert (opened, closed) == ("session: opened", "session: closed")
    assert "POST /orders" in response
    assert task == "send_receipt: done"


READ = "read_rows: done, in a transaction: True"


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/rows", [READ, "session: closed"]),
        ("/rows-too-late", ["session: closed", READ]),
    ],
)
def test_a_stream_reads_from_a_closed_session_with_scope_function(
    path: str, order: list[str], database: dict[str, str]
):
    """A stream reads all its rows before the session is closed. With `scope="function"` it reads them after that, in a transaction that the closed session has begun again."""
    target = "examples.sessions_and_dependencies.stream_of_rows:app"
    with serve(target, env=database) as server:
        answer = client.get(f"{server.url}{path}")
        server.wait_for("read_rows: done")
        assert stop_and_read(server, "session", "read_rows") == order
    assert answer.text == "row 1\nrow 2\nrow 3\n"


def test_the_task_does_not_find_a_row_that_is_committed_after_yield(database):
    """The dependency commits after `yield`, and the task does not find the row; so with SQLite and PostgreSQL."""
    target = "examples.sessions_and_dependencies.row_not_found:app"
    with serve(target, env=database) as server:
        answer = client.post(f"{server.url}/orders")
        printed = stop_and_read(server, "send_receipt", "session")
    assert answer.status_code == 200
    assert printed == ["send_receipt: found False", "session: committed"]


def test_with_scope_function_the_task_finds_the_row(database):
    """With `scope="function"` the commit comes first, and the task finds the row."""
    target = "examples.sessions_and_dependencies.row_found:app"
    with serve(target, env=database) as server:
        client.post(f"{server.url}/orders")
        printed = stop_and_read(server, "send_receipt", "session")
    assert printed == ["session: committed", "send_receipt: found True"]


SCOPES = "examples.sessions_and_dependencies.two_scopes:app"


def test_with_the_scope_and_without_it_are_two_sessions():
    """Three ask for a session in one request. The two that name the scope share one; the third has another, with a connection of its own."""
    with serve(SCOPES) as server:
        assert client.get(f"{server.url}/sessions").json() == 2


def test_a_dependency_with_yield_that_uses_the_session_needs_the_scope_too(
    tmp_path: Path,
):
    """A dependency with `yield` and without the scope that asks for such a session is refused when the app is loaded: `DependencyScopeError`."""
    generator = {
        "session_of_cart(session: CurrentSession) -> Session:\n    return": "session_of_cart(session: CurrentSession) -> Iterator[Session]:\n    yield"
    }
    env = changed({}, tmp_path, SCOPES, generator)
    command = (*PYTHON, "uvicorn", "changed:app", "--port", "0")
    with start(command, env=env, ready=None) as server:
        server.wait_for("DependencyScopeError: .*session_of_cart.* has a scope of")
        assert server.wait() != 0


@pytest.mark.parametrize(
    ("path", "status", "sent"), [("accounts", 200, 2), ("committed-accounts", 500, 1)]
)
def test_a_commit_that_fails_after_the_task_has_sent_its_mail(
    path: str, status: int, sent: int
):
    """A second account of the same name fails at its commit. By default the client has its `200` by then, and the mail is sent. With `scope="function"` it is a 500, and no mail."""
    target = "examples.sessions_and_dependencies.mail_before_commit:app"
    with serve(target) as server:
        assert client.post(f"{server.url}/{path}/ada").status_code == 200
        second = client.post(f"{server.url}/{path}/ada")
        server.wait_for("IntegrityError")
        printed = stop_and_read(server, "send_welcome")
    assert second.status_code == status
    assert printed == ["send_welcome: sent to ada"] * sent


def test_the_session_of_a_request_keeps_its_connection_during_the_tasks(database):
    """While the tasks of two requests run, their sessions hold both connections of the pool, and a third request is a 500."""
    target = "examples.sessions_and_dependencies.pool_exhausted:app"
    with serve(target, env=database) as server:
        assert post_at_once(server, "/orders", 2) == [200, 200]
        server.wait_for("send_receipt: started", nth=2)
        third = client.post(f"{server.url}/orders")
        server.wait_for("TimeoutError: QueuePool limit of size 2 overflow 0 reached")
        assert not any("send_receipt: done" in line.text for line in server.lines)
    assert third.status_code == 500


@pytest.mark.slow
def test_tasks_that_open_a_session_wait_for_each_other(database):
    """Two tasks that each open a session while their requests hold the pool's two wait for each other until one gives up."""
    target = "examples.sessions_and_dependencies.pool_deadlock:app"
    with serve(target, env=database) as server:
        assert post_at_once(server, "/orders", 2) == [200, 200]
        server.wait_for("send_receipt: opens a session", nth=2)
        server.wait_for("TimeoutError: QueuePool limit of size 2 overflow 0 reached")
        printed = [line.text for line in server.lines]
    gave_up = next(i for i, text in enumerate(printed) if "QueuePool limit" in text)
    assert "send_receipt: done" not in printed[:gave_up]


def test_with_scope_function_neither_happens(database):
    """With `scope="function"` a pool of two is enough for ten requests at once."""
    target = "examples.sessions_and_dependencies.pool_released:app"
    with serve(target, env=database) as server:
        assert post_at_once(server, "/orders", 10) == [200] * 10
        server.wait_for("send_receipt: done", nth=10)
        assert not any("ERROR" in line.text for line in server.lines)


@pytest.mark.slow
def test_a_task_that_raises_rolls_the_session_back_after_a_200():
    """The dependency sees the exception of a task and rolls back: the client has a `200` for an order that is not saved."""
    with serve("examples.sessions_and_dependencies.rollback_after_200:app") as server:
        answer = client.post(f"{server.url}/orders")
        server.wait_for("^ConnectionError: the mail server refused the connection")
        saved = client.get(f"{server.url}/orders").json()
    assert answer.status_code == 200
    assert answer.json() == {"message": "Order has been saved"}
    assert saved == {"orders": 0}


def test_an_orm_object_is_detached_in_the_task():
    """Committed and closed, the session has let go of its objects: in the task they raise `DetachedInstanceError`."""
    with serve("examples.sessions_and_dependencies.detached:app") as server:
        answer = client.post(f"{server.url}/orders")
        server.wait_for("DetachedInstanceError: Instance <Order")
        assert stop_and_read(server, "send_receipt") == []
    assert answer.status_code == 200


def test_a_closed_session_opens_a_connection_again_and_keeps_it():
    """A closed session that is used in a task takes a connection from the pool again, and keeps it as long as something refers to the session."""
    with serve("examples.sessions_and_dependencies.reopened:app") as server:
        before = client.get(f"{server.url}/pool").json()["pool"]
        client.post(f"{server.url}/totals")
        server.wait_for("refresh_totals: done")
        after = client.get(f"{server.url}/pool").json()["pool"]
    assert before.endswith("Current Checked out connections: 0")
    assert after.endswith("Current Checked out connections: 1")


@pytest.mark.parametrize(("expires", "held"), [(True, 1), (False, 0)])
def test_after_a_commit_a_look_at_an_object_takes_a_connection_again(
    expires: bool, held: int, tmp_path: Path
):
    """A commit gives the connection back. Then one look at an object, `order.item`, reads it again, and holds a connection through all the slow work that follows, until the next commit or `close`. With `expire_on_commit=False` it holds none."""
    engine = create_engine(f"sqlite:///{tmp_path}/orders.db", poolclass=QueuePool)
    missing_greenlet.Base.metadata.create_all(engine)
    pool = engine.pool
    assert isinstance(pool, QueuePool)
    with Session(engine, expire_on_commit=expires) as session:
        session.add(order := missing_greenlet.Order(item="tea"))
        session.commit()
        assert pool.checkedout() == 0
        assert order.item == "tea"
        assert pool.checkedout() == held
        session.commit()
        assert pool.checkedout() == 0
    engine.dispose()
