"""The statements of docs/durable-on-one-machine.md."""

import inspect
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from functools import partial
from operator import attrgetter
from pathlib import Path

import httpx
import pytest

from bench.trial import Receipts
from runner import Server, client, serve
from runner.needs import needs_of
from runner.process import ROOT
from tests.copying import changed
from tests.orders import ask_until, state
from tests.postgresql import connect
from tests.services import new_database, postgresql_url, skip_without
from tests.terminal import positions, python

TARGET = "examples.durable_on_one_machine.jobs_table:app"
Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a server on this test's database, with a lease of a second."""
    settings = {"DATABASE": str(tmp_path / "db"), "LEASE": "1"}
    return partial(serve, TARGET, env=settings)


def place(server: Server, number: int, item: str = "tea") -> int:
    """Place an order; the id of its job."""
    answer = client.post(f"{server.url}/orders/{number}/{item}")
    assert answer.status_code == 202
    return answer.json()["job"]


def worker_process(folder: Path) -> AbstractContextManager[subprocess.Popen[str]]:
    """A worker without an app, on the same database."""
    file = ROOT / "examples/durable_on_one_machine/jobs_table.py"
    return python(file, env={"DATABASE": str(folder / "db"), "LEASE": "1"})


def runs(server: Server, end: str) -> Counter[int]:
    """How often the receipt of each order was started, or done."""
    return Receipts().said([server], end)


@pytest.mark.slow
def test_the_job_runs_and_its_state_can_be_read(start: Start):
    """The job runs after the response, and its state can be read at once."""
    with start() as server:
        job = place(server, 7, "slow")
        server.wait_for("send_receipt: order 7 started")
        during = state(server, job)
        server.wait_for("send_receipt: order 7 done")
        server.stop()
    with start() as server:
        after = state(server, job)
    assert during == {"status": "waiting", "attempts": 1, "error": None}
    assert after == {"status": "done", "attempts": 1, "error": None}


def test_order_and_job_are_there_together_or_neither(start: Start):
    """An order that cannot be committed leaves no job: the second order of this number gets `409`, and one receipt is sent."""
    with start() as server:
        job = place(server, 7)
        again = client.post(f"{server.url}/orders/7/tea")
        server.wait_for("order 7 done")
        missing = client.get(f"{server.url}/jobs/{job + 1}")
        server.stop()
        assert runs(server, "started") == {7: 1}
    assert again.status_code == 409
    assert missing.status_code == 404


@pytest.mark.slow
def test_a_kill_in_the_middle_of_100_jobs_loses_none(start: Start):
    """100 jobs, a `SIGKILL` in the middle, a new server: all are done, and only the one that was running has been started twice."""
    with start() as server:
        jobs = [place(server, number) for number in range(1, 101)]
        server.wait_for("send_receipt: .* done", nth=10)
        server.stop(signal.SIGKILL)
        first = runs(server, "started"), runs(server, "done")
    with start() as server:
        server.wait_for("send_receipt: .* done", nth=100 - first[1].total(), timeout=30)
        server.stop()
        second = runs(server, "started"), runs(server, "done")
    with start() as server:
        assert {str(state(server, job)["status"]) for job in jobs} == {"done"}
    assert set(first[1] | second[1]) == set(range(1, 101))
    twice = [n for n, times in (first[0] + second[0]).items() if times > 1]
    assert len(twice) <= 1


def test_a_kill_between_commit_and_answer_leaves_the_job(start: Start, tmp_path: Path):
    """The app is killed when the order is committed and not answered yet. The client gets no answer, the job runs in the next app, and the same order again is a `409`."""
    with start() as server, ThreadPoolExecutor(1) as thread:
        server.press_ctrl_s()  # the line in the access log comes before the answer
        asked = thread.submit(client.post, f"{server.url}/orders/7/tea")
        with closing(sqlite3.connect(tmp_path / "db")) as database:
            placed = "select * from orders"
            ask_until(lambda: database.execute(placed).fetchall(), bool, 30)
        server.kill()
        with pytest.raises(httpx.RemoteProtocolError):
            asked.result()
    with start() as server:
        server.wait_for("order 7 done")
        assert client.post(f"{server.url}/orders/7/tea").status_code == 409


@pytest.mark.slow
def test_a_clean_stop_finishes_the_job_and_leaves_the_rest_for_the_next_start(
    start: Start,
):
    """`SIGTERM` lets the job that runs come to its end; the others wait for the next start, and none runs twice."""
    with start() as server:
        place(server, 1, "slow")
        place(server, 2)
        server.wait_for("order 1 started")
        server.stop()
        first = runs(server, "done")
    with start() as server:
        server.wait_for("order 2 done")
        server.stop()
        second = runs(server, "started")
    assert first == {1: 1}
    assert second == {2: 1}


@pytest.mark.slow
def test_after_a_kill_the_next_worker_waits_for_the_lease(tmp_path: Path):
    """The next worker takes the job of a killed one when its lease is over, not before."""
    settings = {"DATABASE": str(tmp_path / "db"), "LEASE": "4"}
    with serve(TARGET, env=settings) as server:
        place(server, 1, "slow")
        claimed = server.wait_for("order 1 started")
        server.stop(signal.SIGKILL)
    with serve(TARGET, env=settings) as server:
        again = server.wait_for("order 1 started")
    assert again.time - claimed.time > 3


@pytest.mark.slow
def test_a_job_that_fails_is_tried_three_times_and_given_up_visibly(start: Start):
    """A job that raises runs three times, each time after a longer wait, and is then `failed`, with the error in its row."""
    with start() as server:
        job = place(server, 1, "refused")
        first, second, third = (
            server.wait_for("order 1 started", nth=n).time for n in (1, 2, 3)
        )
        place(server, 2)
        server.wait_for("order 2 done")
        end = state(server, job)
    assert third - second > second - first > 0.2
    assert end["status"] == "failed"
    assert end["attempts"] == 3
    assert "the mail server refused the connection" in str(end["error"])


@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_given_up_after_three(
    start: Start, tmp_path: Path
):
    """A job that takes its process with it does so three times; then it is `failed`, and the others are done."""
    with start() as server:
        deadly = place(server, 1, "deadly")
        server.wait()
    for _ in range(2):
        with worker_process(tmp_path) as worker:
            assert worker.wait(30) == -signal.SIGKILL
    with start() as server:
        other = place(server, 2)
        server.wait_for("order 2 done")
        end = ask_until(
            partial(state, server, deadly), lambda now: now["status"] != "waiting", 30
        )
        server.stop()
    with start() as server:
        assert state(server, other)["status"] == "done"
    assert end == {"status": "failed", "attempts": 3, "error": "its worker died"}


@pytest.mark.slow
def test_what_has_been_due_longest_runs_first(start: Start, tmp_path: Path):
    """Of the jobs that wait, the one that has been due longest runs first, whichever was placed first."""
    with start() as server, closing(sqlite3.connect(tmp_path / "db")) as database:
        place(server, 1, "slow")
        server.wait_for("order 1 started")
        for number in (2, 3, 4):
            place(server, number)
        with database:
            database.execute("update jobs set due = due - 60 where order_id = 4")
        server.wait_for("order . done", nth=4)
        first, second, third = positions(server, "order 4 s", "order 2 s", "order 3 s")
    assert first < second < third


@pytest.mark.slow
def test_a_database_that_fails_is_tried_again(start: Start, tmp_path: Path):
    """The jobs table is away for a moment. The worker logs that, tries again each second, and runs the next job when the table is back."""
    with start() as server, closing(sqlite3.connect(tmp_path / "db")) as database:
        database.execute("alter table jobs rename to away")
        server.wait_for("jobs: trying again in a second")
        database.execute("alter table away rename to jobs")
        place(server, 1)
        server.wait_for("order 1 done")


@pytest.mark.slow
def test_two_workers_share_the_jobs_and_run_none_twice(tmp_path: Path):
    """Two workers share the jobs: each job is claimed by one of them."""
    settings = {"DATABASE": str(tmp_path / "db")}  # a lease that no commit outlasts
    with serve(TARGET, "--workers", "2", env=settings) as server:
        for number in range(1, 41):
            place(server, number)
        server.wait_for(r"send_receipt: order \d+ done", nth=40, timeout=60)
        assert runs(server, "started") == Counter(range(1, 41))


@pytest.mark.slow
def test_a_lease_that_is_too_short_runs_a_job_twice(tmp_path: Path):
    """If the job takes longer than the lease, a second worker takes it while the first is at it. The first comes too late to say that it is done."""
    settings = {"DATABASE": str(tmp_path / "db"), "LEASE": "0.3"}
    with serve(TARGET, "--workers", "2", env=settings) as server:
        job = place(server, 1, "slow")
        second_start = server.wait_for("order 1 started", nth=2)
        first_end = server.wait_for("order 1 done")
        assert state(server, job)["status"] != "done"
    assert second_start.time < first_end.time


@pytest.mark.slow
def test_the_worker_can_be_a_process_of_its_own(start: Start, tmp_path: Path):
    """Started with `python`, the same file is a worker without an app: it runs what the app has left. After `SIGTERM` it ends when its job is done."""
    with start() as server:
        place(server, 1, "slow")
        place(server, 2)
        server.wait_for("order 1 started")
        server.stop()
    with worker_process(tmp_path) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "send_receipt: order 2 started\n"
        worker.terminate()
        assert worker.stdout.readline() == "send_receipt: order 2 done\n"
        assert worker.wait(60) == 0


@pytest.mark.slow
def test_the_jobs_table_of_sqlite_runs_a_job_twice_in_postgresql(
    tmp_path: Path,
):
    """The jobs table for SQLite, with another address and nothing else changed. In PostgreSQL two workers of SQLite's table claim the same job if one looks for it while the other has not yet committed its claim: both start it. In SQLite only one writes at a time."""
    engine = 'create_engine(f"sqlite:///{DATABASE}", connect_args={"timeout": 30})'
    env = changed({}, tmp_path, TARGET, {engine: "create_engine(DATABASE)"})
    address = postgresql_url(new_database())
    env["DATABASE"] = address.replace(":", "+psycopg:", 1)
    with connect(address) as other:
        with serve("changed:app", env=env) as first:
            first.stop()  # it has made the tables
        other.execute("insert into orders values (7, 'tea')")
        other.execute(
            "insert into jobs (order_id, status, attempts, due) "
            "values (7, 'waiting', 0, 0)"
        )
        with other.transaction():
            other.execute("update jobs set attempts = 1, due = due + 10 ^ 10")
            with (
                connect(address) as watching,
                serve("changed:app", env=env) as server,
            ):
                waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
                ask_until(lambda: watching.execute(waits).fetchone(), bool, 30)
                other.execute("commit; begin")
                server.wait_for("order 7 done")


WORKFLOWS = "examples.durable_on_one_machine.workflows:app"


@pytest.fixture
def dbos(tmp_path: Path) -> Start:
    """Starts the app with DBOS on this test's database."""
    skip_without(needs_of(WORKFLOWS))

    def start(**more: str) -> AbstractContextManager[Server]:
        return serve(WORKFLOWS, env={"DATABASE": str(tmp_path / "db"), **more})

    return start


def until(server: Server, number: int, status: str) -> dict[str, object]:
    ask = partial(state, server, f"order-{number}")
    return ask_until(ask, lambda job: job["status"] == status, 60)


def begin_and_be_killed(dbos: Start) -> None:
    """A process that is killed in the second step of order 7."""
    with dbos() as server:
        assert client.post(f"{server.url}/orders/7/slow").json() == {"job": "order-7"}
        server.wait_for("send_receipt: order 7 started")
        server.stop(signal.SIGKILL)


def leaves_what_was_killed(server: Server) -> None:
    """It does order 8, and order 7 still waits."""
    client.post(f"{server.url}/orders/8/tea")
    until(server, 8, "SUCCESS")
    assert until(server, 7, "PENDING")


@pytest.mark.slow
def test_a_workflow_goes_on_behind_its_last_finished_step(dbos: Start):
    """The process is killed in the second of two steps. The next process runs the second step again, but not the first."""
    begin_and_be_killed(dbos)
    with dbos() as server:
        server.wait_for("send_receipt: order 7 done")
        until(server, 7, "SUCCESS")
        assert not any("reserve" in line.text for line in server.lines)
        assert client.get(f"{server.url}/jobs/none").status_code == 404


@pytest.mark.slow
def test_a_step_that_fails_is_tried_three_times(dbos: Start):
    """A step with `retries_allowed` is tried three times, then the workflow is `ERROR`. The cause is in the log only."""
    with dbos() as server:
        server.expect("refused the connection|exceeded its maximum of 3 retries")
        client.post(f"{server.url}/orders/7/refused")
        server.wait_for("send_receipt: order 7 started", nth=3)
        job = until(server, 7, "ERROR")
    assert "exceeded its maximum of 3 retries" in str(job["error"])


@pytest.mark.slow
def test_another_executor_id_does_not_take_over(dbos: Start):
    """What ran in a killed process waits until a process with its `executor_id` starts."""
    begin_and_be_killed(dbos)
    with dbos(EXECUTOR="2") as server:
        leaves_what_was_killed(server)
        server.stop()
    with dbos() as server:
        server.wait_for("send_receipt: order 7 done")


TAKEN_OVER = {
    "app = FastAPI(lifespan=lifespan)\n": """app = FastAPI(lifespan=lifespan)


@app.post("/take-over")
async def take_over() -> list[str]:
    pending = await DBOS.list_workflows_async(status="PENDING")
    for workflow in pending:
        await DBOS.resume_workflow_async(workflow.workflow_id)
    return [workflow.workflow_id for workflow in pending]
"""
}


@pytest.mark.slow
def test_what_stays_pending_can_be_listed_and_resumed(dbos: Start, tmp_path: Path):
    """DBOS looks for what was interrupted once, when a process starts, under its own id and version. What stays `PENDING` after that is found with `DBOS.list_workflows(status="PENDING")`, and `DBOS.resume_workflow(…)` has it go on in any process."""
    begin_and_be_killed(dbos)
    env = {"DATABASE": str(tmp_path / "db"), "EXECUTOR": "2"}
    with serve("changed:app", env=changed(env, tmp_path, WORKFLOWS, TAKEN_OVER)) as app:
        leaves_what_was_killed(app)
        assert client.post(f"{app.url}/take-over").json() == ["order-7"]
        app.wait_for("send_receipt: order 7 done")


@pytest.mark.slow
def test_two_processes_with_the_same_executor_id_run_a_job_twice(dbos: Start):
    """A second process with the same id, as with `--workers 2` or in a rolling deploy, takes the running job of the first one for its own and puts it back into the queue. One of the two starts it again while it runs."""
    with dbos() as first:
        client.post(f"{first.url}/orders/7/slow")
        first.wait_for("send_receipt: order 7 started")
        with dbos() as second:
            until(second, 7, "SUCCESS")
            assert Receipts().said([first, second], "started") == {7: 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "at_once"),
    [("worker_concurrency=1", True), ("global_concurrency=1", False)],
)
def test_worker_concurrency_is_of_each_process_and_global_concurrency_of_all(
    limit: str, at_once: bool, tmp_path: Path
):
    """`worker_concurrency=1` is one workflow at a time in each process: two processes run two. `global_concurrency=1` is one in all of them."""
    changes = {"worker_concurrency=10": limit, "8 if": f"{8 if at_once else 1} if"}
    skip_without(needs_of(WORKFLOWS))
    shared = {"DATABASE": str(tmp_path / "workflows.db")}
    env = changed(shared, tmp_path, WORKFLOWS, changes)
    with (
        serve("changed:app", env=env) as first,
        serve("changed:app", env=env | {"EXECUTOR": "2"}) as second,
    ):
        for number in (7, 8):
            client.post(f"{first.url}/orders/{number}/slow")
        for number in (7, 8):
            until(first, number, "SUCCESS")
        lines = [line for server in (first, second) for line in server.lines]
    told = sorted(
        (line for line in lines if "receipt" in line.text), key=attrgetter("time")
    )
    assert len(told) == 4
    assert ("started" in told[1].text) == at_once


@pytest.mark.slow
def test_another_application_version_leaves_the_queue_of_the_old_one(dbos: Start):
    """Version 2 runs its own jobs, and none of version 1. Without the setting the version is a hash of the code: each change of it leaves the old jobs behind, `PENDING`."""
    begin_and_be_killed(dbos)
    with dbos(VERSION="2") as server:
        leaves_what_was_killed(server)


@pytest.mark.slow
def test_a_clean_stop_waits_for_the_workflow_that_runs(dbos: Start):
    """`SIGTERM` lets a workflow that runs come to its end, for as long as `destroy` is told to wait."""
    with dbos() as server:
        client.post(f"{server.url}/orders/7/slow")
        server.wait_for("send_receipt: order 7 started")
        server.stop()
        assert any("order 7 done" in line.text for line in server.lines)


@pytest.mark.slow
def test_by_default_a_queue_is_looked_at_once_a_second():
    """`polling_interval_sec` is 1.0 if nothing is said."""
    from dbos import DBOS  # takes a second to import

    parameters = inspect.signature(DBOS.register_queue_async).parameters
    assert parameters["polling_interval_sec"].default == 1.0


@pytest.mark.slow
def test_from_python_3_12_on_dbos_needs_sqlite_3_42():
    """From Python 3.12 on DBOS asks SQLite for `unixepoch('subsec')`, which is `NULL` before SQLite 3.42."""
    from dbos._migration import get_sqlite_timestamp_expr

    asks = "unixepoch('subsec')" in get_sqlite_timestamp_expr()
    assert asks == (sys.version_info >= (3, 12))
    with closing(sqlite3.connect(":memory:")) as database:
        [(milliseconds,)] = database.execute("select unixepoch('subsec')")
    assert (milliseconds is None) == (sqlite3.sqlite_version_info < (3, 42))


TWO_STEPS = """    await reserve(item, order_id)
    await send_receipt(order_id, item)
"""
SIDE_BY_SIDE = """    await asyncio.gather(send_receipt(order_id, "a"), reserve("b", order_id))
    await send_receipt(order_id, item)
"""
CHAINS = """
    async def send_two() -> None:
        await send_receipt(order_id, "a")
        await send_receipt(order_id, "b")

    async def reserve_many() -> None:
        for _ in range(20):
            await reserve("c", order_id)

    await asyncio.gather(send_two(), reserve_many())
    await send_receipt(order_id, item)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "mails", "status"), [(SIDE_BY_SIDE, 2, "SUCCESS"), (CHAINS, 3, "ERROR")]
)
def test_side_by_side_single_steps_go_on_and_chains_of_steps_do_not(
    steps: str, mails: int, status: str, tmp_path: Path
):
    """After a kill a workflow goes on behind an `asyncio.gather` of two steps. The steps of two functions in a `gather`, each with several, come in another order than before the kill: `DBOSUnexpectedStepError`, and the workflow is `ERROR`. So run such functions one after another."""
    changes = {TWO_STEPS: steps, "else 0.05": "else 1", "(8 if": "(4 if"}
    env = changed({"DATABASE": str(tmp_path / "db")}, tmp_path, WORKFLOWS, changes)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/orders/7/slow")
        server.wait_for("send_receipt: order 7 started", nth=mails)
        server.stop(signal.SIGKILL)
    with serve("changed:app", env=env) as server:
        server.expect("DBOSUnexpectedStepError")
        job = until(server, 7, status)
        assert ("DBOSUnexpectedStepError" in str(job["error"])) == (status == "ERROR")
        if status == "SUCCESS":
            assert "reserve" not in server.transcript()
