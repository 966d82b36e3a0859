"""The statements of docs/database-errors.md."""

import asyncio
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import QueuePool, create_engine
from sqlalchemy.event import listens_for
from sqlalchemy.exc import OperationalError

from runner import Server, client, serve, services
from runner.needs import POSTGRESQL
from runner.process import frozen
from tests.copying import changed
from tests.load import post_at_once
from tests.orders import ask_until
from tests.services import in_a_thread, settings_of
from tests.what_is_left import gunicorn

LIMITS = "examples.database_errors.pool_limits:app"


def test_after_a_commit_an_async_object_is_a_missing_greenlet(database: dict[str, str]):
    """After a commit the object of an async session is read again when you look at it, and that is a `MissingGreenlet`. With `expire_on_commit=False` it keeps what it has."""
    with serve("examples.database_errors.missing_greenlet:app", env=database) as server:
        server.expect("coroutine '.*' was never awaited")  # since Python 3.13
        client.post(f"{server.url}/expired/tea")
        server.wait_for("MissingGreenlet: greenlet_spawn has not been called")
        client.post(f"{server.url}/kept/tea")
        server.wait_for("send_kept: tea")
        assert "send_expired: tea" not in server.transcript()


def test_an_async_session_is_for_one_at_a_time(database: dict[str, str]):
    """Three that share an async session at the same time fail, even if the database is quick. With a session each, all three are done."""
    target = "examples.database_errors.one_session_for_all:app"
    with serve(target, env=database) as server:
        server.expect("unclosed database")  # since Python 3.13
        client.post(f"{server.url}/shared")
        server.wait_for("concurrent operations are not permitted")
        client.post(f"{server.url}/one-each")
        for number in range(3):
            server.wait_for(f"count: {number}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_a_session_that_has_its_connection_lets_them_take_turns(
    driver: str, postgresql: str, tmp_path: Path
):
    """A session that has asked the database before has its connection, and lets the three take turns, with asyncpg and with psycopg: no error, and nothing gained."""
    first = "asyncio.TaskGroup() as group:\n"
    asked = f"{first}        await session.scalar(text('select 0'))\n"
    target = "examples.database_errors.one_session_for_all:app"
    url = postgresql.replace("psycopg", driver)
    env = changed({"DATABASE_URL": url}, tmp_path, target, {first: asked})
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/shared")
        for number in range(3):
            server.wait_for(f"count: {number}")


def test_a_connection_of_asyncpg_is_for_one_at_a_time(postgresql: str):
    """Without SQLAlchemy: two that share a connection of asyncpg are an `InterfaceError`, `cannot perform operation: another operation is in progress`. A pool gives each its own."""
    dsn = postgresql.replace("+psycopg", "")

    async def ask_twice() -> list[int]:
        connection = await asyncpg.connect(dsn)
        try:
            with pytest.raises(asyncpg.InterfaceError, match="another operation is in"):
                await asyncio.gather(*(connection.fetchval("select 7") for _ in "ab"))
        finally:
            await connection.close()
        async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
            return await asyncio.gather(*(pool.fetchval("select 7") for _ in "ab"))

    assert in_a_thread(ask_twice()).result() == [7, 7]


def test_a_sqlite_connection_belongs_to_its_thread():
    """A connection of `sqlite3` that a `def` dependency has opened cannot be used in an `async def` task: that is another thread. One that a `def` task opens itself can."""
    with serve("examples.database_errors.other_thread:app") as server:
        client.post(f"{server.url}/one-thread")
        server.wait_for("SQLite objects created in a thread can only be used in that")
        client.post(f"{server.url}/its-own")
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


@pytest.mark.slow
def test_a_dependency_called_by_hand_keeps_its_connection(database: dict[str, str]):
    """`anext(open_session())` opens a session that nobody closes: its connection stays taken. Entered as a context manager, the dependency gives it back."""
    target = "examples.database_errors.left_to_the_collector:app"
    with serve(target, env=database) as server:

        def checked_out() -> str:
            status: str = client.get(f"{server.url}/pool").json()["pool"]
            return status.rpartition(": ")[2]

        for taken in ("1", "2", "3"):
            client.post(f"{server.url}/next")
            server.wait_for("take_the_next: 7", nth=int(taken))
            assert checked_out() == taken
        client.post(f"{server.url}/entered")
        server.wait_for("enter_it: 7")
        ask_until(checked_out, lambda taken: taken == "3", 30)


def opened(database: str) -> int:
    """How many connections others have to that database of PostgreSQL."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert row
    return int(row[0])


def ends(server: Server, number: int) -> list[str]:
    """How that many reports ended: `done`, or with which error."""
    server.wait_for("build_report: (done|lost)", nth=number)
    said = [line.text for line in server.lines]
    return [x.removeprefix("build_report: ") for x in said if "build_report" in x]


@pytest.mark.slow
def test_one_process_has_size_and_overflow_connections_and_no_more(tmp_path: Path):
    """Five tasks at once, `pool_size=2`, `max_overflow=1`: three have a connection. The others wait for `pool_timeout`, and are lost with `QueuePool limit of size 2 overflow 1 reached`. Two connections stay open."""
    settings = settings_of(LIMITS, tmp_path)
    with serve(LIMITS, env=settings) as server:
        post_at_once(server, "/reports", 5)
        ended = ends(server, 5)
        assert ended.count("done") == 3
        lost = [end for end in ended if end != "done"]
        assert all(
            "QueuePool limit of size 2 overflow 1 reached" in end for end in lost
        )
        assert ask_until(lambda: opened(settings["DATABASE"]), lambda n: n < 3, 30) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("role", "says"),
    [
        ("shop", "remaining connection slots are reserved"),
        ("postgres", "sorry, too many clients already"),
    ],
)
def test_processes_that_may_open_more_than_postgresql_has_lose_tasks(
    tmp_path: Path, role: str, says: str
):
    """Four processes may open three each, and PostgreSQL has ten. Some tasks are lost, though no pool is full: `remaining connection slots are reserved`, and when the three for superusers are taken too, `sorry, too many clients already`."""
    folder = tmp_path / "postgresql"
    folder.mkdir()
    postgresql = services.postgresql(folder, max_connections=10)
    postgresql.start()
    database = POSTGRESQL.format(port=postgresql.port, database="postgres")
    with ExitStack() as stack:
        stack.callback(postgresql.end)
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("create role shop login")
        long = {"pg_sleep(2)": "pg_sleep(600)"}
        settings = {
            "DATABASE": database.replace("postgres@", f"{role}@"),
            "PYTHONPATH": "",
        }
        env = changed(settings, tmp_path, LIMITS, long)
        servers = [stack.enter_context(serve("changed:app", env=env)) for _ in range(4)]
        for server in servers:
            post_at_once(server, "/reports", 3)

        def lost() -> list[str]:
            return [
                x.text for server in servers for x in server.lines if "lost" in x.text
            ]

        assert says in " ".join(ask_until(lost, bool, 60))


def test_seven_processes_with_the_defaults_are_too_many(postgresql: str):
    """By default a pool may open 15 connections, and PostgreSQL has 100, three of them for superusers: seven processes are too many."""
    pool = create_engine(postgresql).pool
    assert isinstance(pool, QueuePool)
    most = pool.size() + pool._max_overflow
    with psycopg.connect(postgresql.replace("+psycopg", "")) as connection:
        [there, reserved] = [
            int(str(connection.execute(f"show {name}").fetchone()[0]))
            for name in ("max_connections", "superuser_reserved_connections")
        ]
    assert (most, there, reserved) == (15, 100, 3)
    assert 6 * most <= there - reserved < 7 * most


def test_of_two_processes_that_create_the_store_one_ends(tmp_path: Path):
    """Two processes start on an empty database and see no table; one creates it, and the start of the other ends with `table apscheduler_jobs already exists`. A third finds the table, as after a migration, and starts."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    first, second, third = (SQLAlchemyJobStore(url=url) for _ in range(3))

    @listens_for(second.engine, "before_cursor_execute")
    def the_other_is_first(*arguments: Any) -> None:
        if "CREATE TABLE" in arguments[2]:
            first.jobs_t.create(first.engine)

    with pytest.raises(OperationalError, match="apscheduler_jobs already exists"):
        BackgroundScheduler(jobstores={"default": second}).start()
    scheduler = BackgroundScheduler(jobstores={"default": third})
    scheduler.start()
    scheduler.shutdown()
    first.shutdown()
    second.shutdown()


AT_IMPORT = """app = FastAPI()
with engine.connect() as connection:  # "is the database there?"
    connection.execute(text("select 1"))


@app.get("/connection")
def read_connection() -> tuple[int, int]:
    with engine.connect() as connection:
        number = connection.scalar(text("select pg_backend_pid()"))
    return os.getpid(), number
"""
AFTER_THE_FORK = """

os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
"""


@pytest.mark.slow
@pytest.mark.parametrize("disposed", [False, True])
def test_with_preload_the_workers_share_a_connection_that_the_module_has_opened(
    disposed: bool, postgresql: str, tmp_path: Path
):
    """The module asks the database something when it is imported. With `gunicorn --preload` both workers then use that one connection. With `os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))` each has its own."""
    app = AT_IMPORT + AFTER_THE_FORK * disposed
    settings = {"DATABASE": postgresql.replace("+psycopg", "")}
    env = changed(settings, tmp_path, LIMITS, {"app = FastAPI()\n": app})
    options = ("--preload", "--workers", "2")
    with gunicorn(*options, target="changed:app", env=env) as server:
        server.wait_for("Application startup complete", nth=2)
        ask = partial(httpx.get, f"{server.url}/connection", timeout=30)
        worker, connection = ask().json()
        with frozen([worker]):  # so the other one answers
            other, its_connection = ask().json()
    assert worker != other
    assert (connection != its_connection) == disposed
