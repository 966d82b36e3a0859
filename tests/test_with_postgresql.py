"""The statements of docs/with-postgresql.md."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from typing import Any

import psycopg
import pytest
from procrastinate.worker import Worker
from psycopg.types.json import Jsonb

from runner import Server, client, serve
from runner.needs import NEEDS, prepare, start_worker
from runner.process import PYTHON, ROOT, complete
from runner.proxy import proxy
from tests.copying import changed
from tests.orders import ask_until, place, state
from tests.postgresql import Connection, at_port, away_for_eight_seconds, connect
from tests.services import running, settings_of
from tests.terminal import positions

pytestmark = pytest.mark.slow

APP = "examples.with_postgresql.receipts:app"
MODULE = "examples.with_postgresql.receipts"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """A PostgreSQL with Procrastinate's tables, and without orders."""
    settings = settings_of(APP, tmp_path)
    prepare(NEEDS["with_postgresql"], MODULE, settings)
    return settings


@pytest.fixture
def database(settings: dict[str, str]) -> str:
    """Its address."""
    return settings["DATABASE"]


@pytest.fixture
def jobs(database: str) -> Iterator[Connection]:
    """A connection to it. There are the orders 1 and 2, and no app that made them."""
    with connect(database) as connection:
        connection.execute("create table orders (id int primary key, item text)")
        connection.execute("insert into orders values (1, 'tea'), (2, 'tea')")
        yield connection


def a_worker(database: str) -> AbstractContextManager[Server]:
    return start_worker(NEEDS["with_postgresql"], MODULE, {"DATABASE": database})


def test_the_job_runs_in_the_worker_and_its_state_can_be_read(
    app: Server, database: str
):
    """The app answers without a worker; one that starts later runs the job, and its state can be read."""
    job = place(app, 7).json()["job"]
    before = state(app, job)
    with a_worker(database) as worker:
        worker.wait_for("send_receipt: order 7 done")
        worker.stop()
    after = state(app, job)
    assert before == {"status": "todo", "attempts": 0}
    assert after == {"status": "succeeded", "attempts": 1}
    assert client.get(f"{app.url}/jobs/{job + 1000}").status_code == 404


def test_an_order_that_is_rolled_back_takes_its_job_with_it(app: Server, database: str):
    """The second order of the same number gets `409`, and there is one job."""
    assert place(app, 7).status_code == 202
    assert place(app, 7).status_code == 409
    with psycopg.connect(database) as connection:
        count = (
            "select count(*) from procrastinate_jobs where task_name like '%receipt'"
        )
        assert connection.execute(count).fetchone() == (1,)


def test_a_rollback_after_the_job_was_enqueued_removes_it(app: Server, database: str):
    """A commit that fails, here by a constraint that is checked last, leaves neither order nor job."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """create function refuse() returns trigger language plpgsql as
            $$ begin raise unique_violation; end $$;
            create constraint trigger refuse after insert on orders
            deferrable initially deferred for each row execute function refuse()"""
        )
        assert place(app, 7).status_code == 409
        for table in ("orders", "procrastinate_jobs"):
            count = connection.execute(f"select count(*) from {table}").fetchone()
            assert count == (0,)


def test_the_worker_does_not_see_a_job_before_its_commit(app: Server, database: str):
    """The worker waits for jobs while a commit takes a second. It starts the job when the order is there, never before."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            """create function linger() returns trigger language plpgsql as
            $$ begin perform pg_sleep(1); return null; end $$;
            create constraint trigger linger after insert on orders
            deferrable initially deferred for each row execute function linger()"""
        )
    with a_worker(database) as worker:
        answer = place(app, 7)
        worker.wait_for("send_receipt: order 7 done")
        assert answer.elapsed.total_seconds() > 1
        assert not any("NoResultFound" in line.text for line in worker.lines)


def test_a_job_of_another_connection_can_be_too_early(app: Server, database: str):
    """A job that is enqueued through another connection, here by Procrastinate's command, is visible at once. It runs before the order is committed, does not find it, and fails; tried again after the commit it is done."""
    defer = ("procrastinate", "--app", f"{MODULE}.queue", "defer")
    with psycopg.connect(database) as ours:
        ours.execute("insert into orders (id, item) values (7, 'tea')")
        job = (*PYTHON, *defer, f"{MODULE}.send_receipt", '{"order_id": 7}')
        complete(job, env={"DATABASE": database})
        with a_worker(database) as worker:
            worker.wait_for("NoResultFound|No row was found")
            ours.commit()
            worker.wait_for("order 7 done")


def test_a_job_that_fails_is_tried_again_and_then_failed(app: Server, database: str):
    """A job that raises runs three times here, `max_attempts` and once more, then it is `failed`."""
    job = place(app, 1, "refused").json()["job"]
    with a_worker(database) as worker:
        worker.expect("refused the connection")
        worker.wait_for("send_receipt: order 1 started", nth=3, timeout=30)
        worker.stop()
    end = state(app, job)
    assert end == {"status": "failed", "attempts": 3}


def test_what_ran_in_a_killed_worker_stays_in_the_state_doing(
    app: Server, database: str
):
    """The worker is killed in the middle of a job. Another worker runs the next job, and not that one, which says `doing` and would say so for ever without `rescue`."""
    job = place(app, 1, "slow").json()["job"]
    with a_worker(database) as first:
        first.wait_for("order 1 started")
        first.kill()
    with a_worker(database) as second:
        place(app, 2)
        second.wait_for("order 2 done")
        assert state(app, job)["status"] == "doing"
        assert not any("order 1" in line.text for line in second.lines)


OFTEN = {"RESCUE": "* * * * * */2", "DEAD_AFTER": "1"}


def test_one_job_that_cannot_be_tried_again_holds_up_no_other(
    settings: dict[str, str], jobs: Connection
):
    """Of two jobs of dead workers one waits a second time already, with the same `queueing_lock`, and `retry_job` refuses it; `rescue` goes on to the other."""
    later = datetime.now(UTC) + timedelta(hours=1)
    add(jobs, 1, status="todo", queueing_lock="order-1", scheduled_at=later)
    add(jobs, 1, status="doing", queueing_lock="order-1")
    add(jobs, 2, status="doing")
    with start_worker(NEEDS["with_postgresql"], MODULE, settings | OFTEN) as worker:
        worker.wait_for("send_receipt: order 2 done")


@pytest.mark.parametrize("lock", ["", ', lock="rescue"'])
def test_a_rescue_that_was_killed_itself_holds_up_the_next_only_with_a_lock(
    settings: dict[str, str], jobs: Connection, tmp_path: Path, lock: str
):
    """`rescue` is killed too, and stands in `doing`. The next `rescue` runs nevertheless, and tries the dead workers' jobs again. With `lock="rescue"` it would wait for the one that was killed, for ever."""
    own = 'queueing_lock="rescue"'
    env = changed(settings, tmp_path, APP, {own: own + lock}) | OFTEN
    receipt = {"task_name": "changed.send_receipt"}
    add(jobs, 1, status="doing", **receipt)
    locks = {"queueing_lock": "rescue", "lock": "rescue" if lock else None}
    row = {"task_name": "changed.rescue", "args": Jsonb({"timestamp": 0})}
    add(jobs, 0, status="doing", **row, **locks)
    with start_worker(NEEDS["with_postgresql"], "changed", env) as worker:
        if not lock:
            worker.wait_for("order 1 done")
            return
        waits = (
            "select 1 from procrastinate_jobs where lock = 'rescue' and status = 'todo'"
        )
        ask_until(lambda: jobs.execute(waits).fetchall(), bool, 30)
        add(jobs, 2, **receipt)
        worker.wait_for("order 2 done")
        assert "order 1" not in worker.transcript()


LONG = {"asyncio.sleep(1 if": "asyncio.sleep(60 if"}


def test_a_worker_that_stops_sends_no_heartbeats_and_its_job_runs_twice(
    settings: dict[str, str], tmp_path: Path
):
    """After `SIGTERM` a worker waits for its job, without a limit, and sends no heartbeats any more: `rescue` in another worker takes the job for a dead worker's, and it runs twice at the same time."""
    often = {"RESCUE": "* * * * * */2", "DEAD_AFTER": "3"}
    env = changed(settings, tmp_path, APP, LONG) | often
    needs = NEEDS["with_postgresql"]
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs, "changed", env) as first,
    ):
        place(app, 1, "slow")
        first.wait_for("order 1 started")
        first.process.send_signal(signal.SIGTERM)
        first.wait_for("Waiting for job to finish")
        with start_worker(needs, "changed", env) as second:
            second.wait_for("order 1 started", timeout=60)
        assert first.process.poll() is None


def test_a_stop_with_a_limit_aborts_the_job_and_gives_it_back(
    settings: dict[str, str], tmp_path: Path
):
    """With `--shutdown-graceful-timeout 1` the job is cancelled after a second, and waits again. The next worker begins it at once."""
    env = changed(settings, tmp_path, APP, LONG)
    needs, limit = NEEDS["with_postgresql"], ("--shutdown-graceful-timeout", "1")
    with serve("changed:app", env=env) as app:
        with start_worker(needs, "changed", env, *limit) as first:
            first.expect("CancelledError")
            job = place(app, 1, "slow").json()["job"]
            first.wait_for("order 1 started")
            first.stop()
            assert state(app, job)["status"] == "todo"
        with start_worker(needs, "changed", env) as second:
            second.wait_for("order 1 started")


@pytest.mark.parametrize("attempts", [0, 1])
def test_a_job_that_waits_for_its_time_holds_up_others_with_its_lock(
    jobs: Connection, database: str, attempts: int
):
    """Jobs with the same `lock` run one at a time, in the order in which they were placed. So one that is due in an hour, for the first time or after a failed attempt, holds up those behind it that are due now. One without a lock runs meanwhile."""
    jobs.execute("insert into orders values (3, 'tea')")
    later = datetime.now(UTC) + timedelta(hours=1)
    add(jobs, 1, status="todo", lock="ada", scheduled_at=later, attempts=attempts)
    add(jobs, 2, status="todo", lock="ada")
    add(jobs, 3, status="todo")
    with a_worker(database) as worker:
        worker.wait_for("order 3 done")
        assert "order 2" not in worker.transcript()
        jobs.execute("update procrastinate_jobs set scheduled_at = now()")
        one, two = (worker.wait_for(f"order {n} done") for n in (1, 2))
    assert one.time < two.time


def add(jobs: Connection, order: int, **more: Any) -> None:
    """Add a job for that order; with more values for columns of its row."""
    row = {"queue_name": "default", "task_name": f"{MODULE}.send_receipt"}
    row |= {"args": Jsonb({"order_id": order})} | more
    columns, values = ", ".join(row), ", ".join(["%s"] * len(row))
    insert = f"insert into procrastinate_jobs ({columns}) values ({values})"
    jobs.execute(insert, [*row.values()])


def wait_for_succeeded(jobs: Connection, many: int) -> None:
    """Wait until so many jobs have, those of `rescue` among them."""
    count = "select count(*) from procrastinate_jobs where status = 'succeeded'"
    ask_until(lambda: jobs.execute(count).fetchall(), lambda n: n >= [(many,)], 60)


def test_a_worker_that_lives_keeps_a_job_longer_than_the_heartbeats_wait(
    settings: dict[str, str], jobs: Connection
):
    """A worker counts as dead after three seconds without a heartbeat, and its job takes longer. It tells each second that it lives, and `rescue` leaves its job alone. With Procrastinate's default of ten seconds between two heartbeats it would be started again meanwhile."""
    often = settings | {"RESCUE": "* * * * * *", "DEAD_AFTER": "3"}
    add(jobs, 1)
    with connect(settings["DATABASE"], autocommit=False) as other:
        other.execute("lock table orders")  # which the job wants to read
        with start_worker(NEEDS["with_postgresql"], MODULE, often) as worker:
            wait_for_succeeded(jobs, 6)
            other.commit()
            worker.wait_for("order 1 done")
            worker.stop()
    [(attempts,)] = jobs.execute(
        "select attempts from procrastinate_jobs where task_name like '%receipt'"
    ).fetchall()
    assert attempts == 1
    assert worker.transcript().count("order 1 started") == 1


def test_a_worker_that_starts_takes_others_for_dead_no_sooner_than_rescue_does(
    settings: dict[str, str], jobs: Connection
):
    """A worker counts as dead after five minutes here. Worker A, at work, was last heard of a minute ago, and worker B starts: its `rescue` leaves A's job alone. With Procrastinate's default of 30 seconds B would start A's job too."""
    default = signature(Worker).parameters["stalled_worker_timeout"].default
    assert default == 30
    heard = (
        "insert into procrastinate_workers (last_heartbeat) values (%s) returning id"
    )
    for order, minutes in ((1, 1), (2, 6)):
        last = datetime.now(UTC) - timedelta(minutes=minutes)
        [(worker_id,)] = jobs.execute(heard, [last]).fetchall()
        add(jobs, order, status="doing", worker_id=worker_id)
    often = settings | {"RESCUE": "* * * * * *", "DEAD_AFTER": "300"}
    with start_worker(NEEDS["with_postgresql"], MODULE, often) as worker:
        worker.wait_for("order 2 done")
        wait_for_succeeded(jobs, 4)
        assert "order 1" not in worker.transcript()


def test_without_postgresql_a_503_and_nothing_half_done(app: Server, database: str):
    """PostgreSQL is killed while the app runs: the client gets `503` for an order within three seconds, for the state of a job within four, and there is no order. Back on its data, PostgreSQL gets orders from the same app, also when no request has met it dead."""
    postgresql = running("postgresql")
    assert place(app, 1).status_code == 202
    postgresql.kill()
    refused = place(app, 2)
    unread = client.get(f"{app.url}/jobs/1", timeout=30)
    postgresql.start()
    assert refused.status_code == unread.status_code == 503
    assert refused.elapsed.total_seconds() < 3
    assert unread.elapsed.total_seconds() < 4
    assert place(app, 2).status_code == 202
    postgresql.kill()
    postgresql.start()
    assert place(app, 3).status_code == 202
    with a_worker(database) as worker:
        for number in (1, 2, 3):
            worker.wait_for(f"order {number} done")


def test_after_an_outage_the_states_of_jobs_are_back_at_once(settings: dict[str, str]):
    """PostgreSQL is away for eight seconds. With `reconnect_timeout=3` in Procrastinate's connector the state of a job can be read again in less than half the time that a pool takes with the default of 300."""
    ours, default = away_for_eight_seconds(APP, settings, "/jobs/1")
    assert ours < default / 2


def test_a_postgresql_that_does_not_answer_is_not_waited_for(database: str):
    """The network to PostgreSQL is cut, and no connection ends: the client gets `503` within fifteen seconds, three of the example's and ten in which psycopg tries to cancel the query. There is no order, and the same app takes it when the network is back."""
    port = running("postgresql").port
    with proxy(port) as between:
        through = at_port(database, between.port)
        with serve(APP, env={"DATABASE": through}) as server:
            assert place(server, 1).status_code == 202
            with between.frozen():
                refused = place(server, 2)
                assert refused.status_code == 503
                assert refused.elapsed.total_seconds() < 15
            assert place(server, 2).status_code == 202


def test_a_worker_whose_network_is_cut_takes_nothing_and_does_not_end(database: str):
    """The network of a worker is cut, and no connection ends: the worker takes no job, says nothing, and does not end. Another worker takes the job."""
    with proxy(running("postgresql").port) as between:
        through = at_port(database, between.port)
        with serve(APP, env={"DATABASE": database}) as app, a_worker(through) as cut:
            place(app, 1)
            cut.wait_for("order 1 done")
            between.forget()
            place(app, 2)
            with a_worker(database) as another:
                another.wait_for("order 2 done")
            assert "order 2" not in cut.transcript()
            assert cut.process.poll() is None


def test_the_worker_ends_when_postgresql_goes_away(database: str):
    """When PostgreSQL is killed the worker ends, `couldn't get a connection after 3.00 sec`, and does not come back by itself. The three seconds are the `timeout` of the example's connector."""
    postgresql = running("postgresql")
    with a_worker(database) as worker:
        worker.expect("ConnectorException|Side task listener failed")
        postgresql.kill()
        worker.wait(30)
        assert "get a connection after 3.00 sec" in worker.transcript()
    postgresql.start()


def test_a_copy_runs_alone_and_has_no_5xx(database: str, tmp_path: Path):
    """Copied to an empty folder as `main.py` it runs there, and bad input gets a `4xx`."""
    from tests.fuzzing import faults

    shutil.copy(ROOT / "examples/with_postgresql/receipts.py", tmp_path / "main.py")
    with serve("main:app", cwd=tmp_path, env={"DATABASE": database}) as server:
        assert faults(server.url) == []


AS_ON_WINDOWS = """
import asyncio, sys
import psycopg
from uvicorn.config import Config

class Proactor(asyncio.SelectorEventLoop):
    pass

asyncio.ProactorEventLoop = Proactor
sys.platform = "win32"
for options in ({}, {"workers": 2}, {"reload": True}):
    loop = Config("main:app", loop="asyncio", **options).get_loop_factory()()
    try:
        loop.run_until_complete(psycopg.AsyncConnection.connect("port=1"))
    except psycopg.Error as error:
        print(type(loop).__name__, error)
"""


def test_on_windows_uvicorn_takes_the_loop_that_psycopg_refuses():
    """Where `sys.platform` is `win32`, uvicorn takes the `ProactorEventLoop`, and psycopg refuses it. With `--workers` or `--reload` it takes the other one, on which psycopg tries to connect."""
    command = [sys.executable, "-c", AS_ON_WINDOWS]
    said = subprocess.check_output(command, text=True).split("\n")
    tried = [line for line in said if "Loop" in line or "Proactor" in line]
    assert tried[0].startswith("Proactor Psycopg cannot use the 'ProactorEventLoop'")
    assert [line.split()[0] for line in tried[1:]] == ["_UnixSelectorEventLoop"] * 2


def test_uvicorn_runs_on_the_loop_that_it_is_told(tmp_path: Path):
    """`--loop module:name` runs the app on that loop: `asyncio:SelectorEventLoop`, or one of your own."""
    (tmp_path / "main.py").write_text(
        "import asyncio\n"
        "from fastapi import FastAPI\n"
        "class Mine(asyncio.SelectorEventLoop): ...\n"
        "app = FastAPI()\n"
        "@app.get('/')\n"
        "async def name(): return type(asyncio.get_running_loop()).__name__\n"
    )
    for loop, name in (("asyncio:SelectorEventLoop", "_Unix"), ("main:Mine", "Mine")):
        with serve("main:app", "--loop", loop, cwd=tmp_path) as server:
            assert client.get(server.url).json().startswith(name)


IN_THE_APP = "examples.with_postgresql.worker_in_the_app:app"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_in_the_app_lets_its_job_end_and_leaves_signals_to_uvicorn(
    sent: signal.Signals, settings: dict[str, str]
):
    """With `install_signal_handlers=False` Ctrl+C or `SIGTERM` ends the server as always. The job that runs comes to its end before the lifespan does."""
    with serve(IN_THE_APP, env=settings) as server:
        assert client.post(f"{server.url}/orders/7").status_code == 202
        server.wait_for("send_receipt: order 7 started")
        server.stop(sent)
        done, ended = positions(server, "order 7 done", "lifespan: ended")
    assert done < ended


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_by_default_the_worker_takes_the_first_signal_and_the_app_goes_on(
    sent: signal.Signals, settings: dict[str, str], tmp_path: Path
):
    """By default the first Ctrl+C or `SIGTERM` ends the worker, and uvicorn does not hear of it: the app goes on, and takes orders that nobody runs. When the worker has ended, the next one ends the app."""
    takes = {"install_signal_handlers=False": "install_signal_handlers=True"}
    env = changed(settings, tmp_path, IN_THE_APP, takes)
    with connect(settings["DATABASE"]) as database, serve("changed:app", env=env) as it:

        def workers() -> int:
            [(number,)] = database.execute("select count(*) from procrastinate_workers")
            return int(number)

        client.post(f"{it.url}/orders/7")
        it.wait_for("send_receipt: order 7 done")
        it.process.send_signal(sent)
        ask_until(workers, lambda number: number == 0, 30)
        assert client.post(f"{it.url}/orders/8").status_code == 202
        assert "Shutting down" not in it.transcript()
        it.stop(sent)
        assert "order 8 started" not in it.transcript()


def test_a_worker_in_the_app_that_postgresql_ends_ends_the_app(
    settings: dict[str, str],
):
    """When PostgreSQL is killed the worker ends, and here the app with it, so that both are started again."""
    postgresql = running("postgresql")
    with serve(IN_THE_APP, env=settings) as server:
        server.expect("ConnectorException|OperationalError|Side task")
        client.post(f"{server.url}/orders/7")
        server.wait_for("send_receipt: order 7 done")
        postgresql.kill()
        server.wait_for("the worker has ended", timeout=60)
        server.wait_for("lifespan: ended", timeout=60)
        server.wait()
    postgresql.start()
