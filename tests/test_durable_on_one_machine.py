"""The statements of docs/durable-on-one-machine.md."""

import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from bench.trial import Receipts
from runner import Server, client, serve
from runner.process import ROOT
from tests.copying import changed
from tests.orders import ask_until, state
from tests.postgresql import connect
from tests.services import new_database, postgresql_url
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


def slower(folder: Path, lease: int = 60) -> AbstractContextManager[Server]:
    """A server whose slow jobs take five seconds."""
    settings = {"DATABASE": str(folder / "db"), "LEASE": str(lease)}
    env = changed(settings, folder, TARGET, {"sleep(1 if": "sleep(5 if"})
    return serve("changed:app", env=env)


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
    start: Start, tmp_path: Path
):
    """`SIGTERM` lets the job that runs come to its end; the others wait for the next start, and none runs twice."""
    with slower(tmp_path) as server:
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
def test_after_a_kill_the_next_worker_waits_for_the_lease(start: Start, tmp_path: Path):
    """The next worker takes the job of a killed one when its lease is over, not before."""
    with slower(tmp_path, lease=4) as server:
        place(server, 1, "slow")
        claimed = server.wait_for("order 1 started")
        server.stop(signal.SIGKILL)
    with start() as server:
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
def test_the_worker_can_be_a_process_of_its_own(tmp_path: Path):
    """Started with `python`, the same file is a worker without an app: it runs what the app has left. After `SIGTERM` it ends when its job is done."""
    with slower(tmp_path) as server:
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
