"""The statements of docs/schedules.md."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from functools import partial
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from runner import Server, client, serve
from runner.needs import NEEDS, start_worker
from runner.process import PYTHON, ROOT, start
from runner.services import Service
from tests.copying import changed, with_changes
from tests.orders import ask_until
from tests.services import running, settings_of
from tests.terminal import python

LEADER = "examples.schedules.leader:app"
STORE = "examples.schedules.job_store:app"
CELERY = "examples.schedules.with_celery:app"


def test_the_next_run_is_at_three_in_the_zone_that_was_named():
    """The next run is at three in the morning, in the zone that the scheduler was given."""
    with serve("examples.schedules.nightly:app") as server:
        answer = client.get(f"{server.url}/next-digest").json()
    run = datetime.fromisoformat(answer["next_run"])
    assert (run.hour, run.minute) == (3, 0)
    assert run.utcoffset() in (
        datetime.fromisoformat("2026-01-01T00:00+01:00").utcoffset(),
        datetime.fromisoformat("2026-07-01T00:00+02:00").utcoffset(),
    )


def test_a_job_that_raises_is_reported_and_runs_again():
    """The job raises: the listener has its exception, the log a traceback, and the job runs again."""
    with serve("examples.schedules.failing:app") as server:
        server.expect("ConnectionError|raised an exception")
        server.wait_for("job prices: ConnectionError", nth=2)
        server.wait_for('Job "refresh_prices .* raised an exception')


def test_an_interval_begins_anew_at_each_start_unless_it_has_a_date():
    """The app is started twice: the second time the interval ends later. The job with a `start_date` is due at the same moment after both, at three. The one with `next_run_time` runs at each start."""
    seen = []
    for _ in range(2):
        with serve("examples.schedules.interval:app") as server:
            server.wait_for("refresh_prices: at once")
            seen.append(client.get(f"{server.url}/next-runs").json())
    first, second = seen
    assert first["from the start"] < second["from the start"]
    at_three = datetime.fromisoformat(second["from a date"])
    assert (at_three.hour, at_three.minute) == (3, 0)
    assert datetime.fromisoformat(first["from a date"]).hour == 3


@pytest.mark.slow
def test_with_two_workers_every_job_runs_twice():
    """With two workers there are two schedulers, and each runs the job."""
    with serve("examples.schedules.nightly:app", "--workers", "2") as server:
        [first] = re.findall(r"process (\d+)", server.wait_for("_prices: ").text)[:1]
        server.wait_for(rf"refresh_prices: process (?!{first}(?!\d))\d+")


@pytest.mark.slow
def test_the_schedule_in_a_process_of_its_own_runs_once():
    """A process of its own runs the job as long as it lives, however many workers serve the app; under uvicorn the same file runs none."""
    file = ROOT / "examples/schedules/own_process.py"
    with (
        serve("examples.schedules.own_process:app", "--workers", "2") as server,
        python(file) as process,
    ):
        assert process.stdout
        for _ in range(2):
            assert process.stdout.readline() == "refresh_prices: done\n"
        assert client.get(f"{server.url}/ping").status_code == 200
    assert not any("refresh_prices" in line.text for line in server.lines)


def nights(server: Server, starts: int) -> tuple[int, int]:
    """How many sent the digest, and how many left it to another."""
    ends = r"send_digest: \S+ (by process|has been claimed)"
    server.wait_for(ends, nth=starts)
    said = re.findall(ends, "\n".join(x.text for x in server.lines))
    return said.count("by process"), said.count("has been claimed")


@pytest.mark.slow
def test_one_of_two_workers_claims_the_night(tmp_path: Path):
    """Of two workers that try at the same time one sends the digest; the other finds the night claimed."""
    settings = {"DATABASE": str(tmp_path / "db")}
    target = "examples.schedules.once_for_all:app"
    with serve(target, "--workers", "2", env=settings) as server:
        assert nights(server, starts=2) == (1, 1)


@pytest.mark.slow
def test_what_was_due_while_the_app_was_down_is_not_made_up_for():
    """A job is due each half second, and the app is killed and down for two seconds. When it is back the runs come half a second apart again, and none for those that were missed."""
    nightly = "examples.schedules.nightly:app"
    with serve(nightly) as server:
        server.wait_for("refresh_prices: ")
        server.kill()
    time.sleep(2)
    with serve(nightly) as server:
        first, third = (server.wait_for("refresh_prices: ", nth=n) for n in (1, 3))
    assert third.time - first.time > 0.7


def test_a_run_that_was_missed_is_made_up_for_once(tmp_path: Path):
    """A server that was down at three sends the digest when it starts, and not again when it is restarted."""
    settings = {"DATABASE": str(tmp_path / "db")}
    target = "examples.schedules.once_for_all:app"
    with serve(target, env=settings) as server:
        assert nights(server, starts=1) == (1, 0)
    with serve(target, env=settings) as server:
        assert nights(server, starts=1) == (0, 1)


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_the_next_one_out():
    """While a run goes on the next is skipped, and the log says so."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        server.wait_for("import_orders: started")
        skipped = server.wait_for("skipped: maximum number of running instances")
        done = server.wait_for("import_orders: done")
    assert skipped.time < done.time


@pytest.mark.slow
def test_a_run_is_missed_when_the_event_loop_is_blocked_for_longer_than_a_second():
    """A run that is more than a second late is missed, unless `misfire_grace_time` allows more."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        client.post(f"{server.url}/blocked-at-three")
        server.wait_for('"send_digest .*was missed by 0:00:0[1-9]')
        server.wait_for("send_digest: late")
        server.stop()
        assert not any("send_digest: in time" in line.text for line in server.lines)


def test_a_run_that_goes_on_when_the_server_stops_is_cancelled():
    """An `async def` run that goes on when the server stops is cancelled."""
    with serve("examples.schedules.missed_and_overlapping:app") as server:
        server.wait_for("import_orders: started")
        server.stop()
        assert not any("import_orders: done" in line.text for line in server.lines)


FAILING = "examples.schedules.failing:app"


def blocking(kind: str) -> dict[str, str]:
    """A job that blocks for three seconds, and is written as `def` or as `async def`."""
    return {
        "import logging\n": "import logging\nimport time\n",
        "def refresh_prices() -> None:\n": f"{kind} refresh_prices() -> None:\n"
        "    print('started'), time.sleep(3), print('ended')\n    return\n",
    }


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "waits"), [("async def", True), ("def", False)])
def test_an_async_def_job_that_blocks_stops_every_request(
    kind: str, waits: bool, tmp_path: Path
):
    """A job that blocks for three seconds: as `async def` it runs on the server's event loop, and a request waits for its end. As `def` it runs in a thread, and the request does not."""
    env = changed({}, tmp_path, FAILING, blocking(kind))
    with serve("changed:app", env=env) as server:
        server.expect("maximum number of running instances|was missed by|job prices")
        server.wait_for("^started")
        assert client.get(f"{server.url}/ping", timeout=30).status_code == 200
        ended = any(line.text == "ended" for line in server.lines)
    assert ended == waits


def runs(day: str, at: str) -> list[str]:
    with serve("examples.schedules.twice_or_never:app") as server:
        return client.get(f"{server.url}/runs/{day}/{at}").json()


def test_half_past_two_happens_twice_when_the_clocks_go_back():
    """On the day when the clocks go back, a run at 02:30 happens twice, an hour apart."""
    assert runs("2026-10-24", "2/30") == ["2026-10-24T02:30:00+02:00"]
    assert runs("2026-10-25", "2/30") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]


def test_half_past_two_happens_at_half_past_three_when_they_go_forward():
    """On the day when they go forward there is no 02:30; the run happens at 03:30."""
    assert runs("2027-03-28", "2/30") == ["2027-03-28T03:30:00+02:00"]


def test_three_o_clock_happens_once_on_every_day():
    """03:00 happens once on both days."""
    assert runs("2026-10-25", "3/0") == ["2026-10-25T03:00:00+01:00"]
    assert runs("2027-03-28", "3/0") == ["2027-03-28T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("weekday", "named"),
    [("0", "Monday"), ("sun", "Sunday"), ("6", "Sunday"), ("mon", "Monday")],
)
def test_the_weekday_0_is_monday(weekday: str, named: str):
    """`0 3 * * 0`, which in cron is Sunday, is Monday in APScheduler 3, in `from_crontab` too. `sun` is Sunday in both."""
    with serve("examples.schedules.weekdays:app") as server:
        asked = {"crontab": f"0 3 * * {weekday}"}
        answer = client.get(f"{server.url}/next-run", params=asked)
        refused = client.get(f"{server.url}/next-run", params={"crontab": "at three"})
    assert answer.json() == {"next_run": f"{named} 03:00"}
    assert refused.status_code == 422


HOLDER = (
    "select pid from pg_locks where locktype = 'advisory' and granted and database ="
    " (select oid from pg_database where datname = current_database())"
)
"""Which process of PostgreSQL holds the lock."""


def refreshed_by(server: Server) -> list[tuple[str, float]]:
    """Which process has refreshed the prices, and when, in order."""
    return [
        (process, line.time)
        for line in server.lines
        for process in re.findall(r"refresh_prices: process (\d+)", line.text)
    ]


def runs_in_both(first: Server, second: Server) -> None:
    """Wait until the second refreshes the prices. No two processes did so in turns."""
    second.wait_for("refresh_prices", nth=3)
    runs = sorted(refreshed_by(first) + refreshed_by(second), key=lambda run: run[1])
    changes = sum(a != b for (a, _), (b, _) in pairwise(runs))
    assert len({process for process, _ in runs}) == changes + 1 == 2


@pytest.mark.slow
def test_the_old_container_leads_until_it_ends(tmp_path: Path):
    """A rolling deploy: two workers of the new version start beside two of the old. None of them refreshes a price until the old one has ended, and then one does."""
    env = settings_of(LEADER, tmp_path)
    with serve(LEADER, "--workers", "2", env=env) as old:
        old.expect("CancelledError")  # of the job that runs when it ends
        old.wait_for("refresh_prices")
        with serve(LEADER, "--workers", "2", env=env) as new:
            assert client.get(f"{new.url}/ping").status_code == 200
            old.wait_for("refresh_prices", nth=len(refreshed_by(old)) + 4)
            assert not refreshed_by(new)
            old.stop()
            old.wait_for("Application shutdown complete", nth=2)
            old.wait_for("lead: ends")
            runs_in_both(old, new)


@pytest.mark.slow
def test_when_the_leader_is_killed_another_leads(tmp_path: Path):
    """The leader is killed, and nothing has to run out: another leads."""
    env = settings_of(LEADER, tmp_path)
    with serve(LEADER, env=env) as first:
        first.wait_for("refresh_prices")
        with serve(LEADER, env=env) as second:
            first.kill()
            runs_in_both(first, second)


@contextmanager
def lock_taken_from_the_leader(database: str) -> Iterator[None]:
    """Cut the leader's connection while somebody waits for its lock, who then has it."""
    with (
        psycopg.connect(database, autocommit=True) as other,
        psycopg.connect(database, autocommit=True) as connection,
        ThreadPoolExecutor(1) as thread,
    ):
        state = f"select state from pg_stat_activity where pid = ({HOLDER})"
        assert connection.execute(state).fetchone() != ("idle in transaction",)
        waits = thread.submit(other.execute, "select pg_advisory_lock(4711)")
        queued = "select true from pg_locks where locktype = 'advisory' and not granted"
        ask_until(lambda: connection.execute(queued).fetchone(), bool, 30)
        connection.execute(f"select pg_terminate_backend(({HOLDER}))")
        waits.result(30)
        yield
        other.execute("select pg_advisory_unlock(4711)")


@pytest.mark.slow
def test_a_leader_whose_connection_ends_stops_its_schedule(tmp_path: Path):
    """The leader's connection is cut, and somebody else gets its lock. The leader notices, stops its schedule, and asks for the lock again. While it leads, its connection is in no transaction."""
    env = settings_of(LEADER, tmp_path)
    with serve(LEADER, env=env) as server:
        server.wait_for("refresh_prices")
        with lock_taken_from_the_leader(env["DATABASE"]):
            server.wait_for("lead: (AdminShutdown|OperationalError)")
            time.sleep(1)  # for a run that had begun
            so_far = len(server.lines)
            time.sleep(2)  # four rounds
            assert "refresh_prices" not in server.transcript(so_far)
        server.wait_for("refresh_prices", start=so_far)


@pytest.mark.slow
def test_while_postgresql_does_not_answer_nobody_leads(tmp_path: Path):
    """PostgreSQL is frozen: it accepts, and does not answer. The leader stops its schedule, and the app goes on. When PostgreSQL is back, somebody leads."""
    env = settings_of(LEADER, tmp_path)
    with serve(LEADER, env=env) as server:
        server.wait_for("refresh_prices")
        with running("postgresql").frozen():
            server.wait_for("lead: TimeoutError", timeout=60)
            so_far = len(server.lines)
            server.wait_for("lead: .*ConnectionTimeout", timeout=60)
            assert client.get(f"{server.url}/ping").status_code == 200
            assert "refresh_prices" not in server.transcript(so_far)
        server.wait_for("refresh_prices", start=so_far, timeout=60)


def names(server: Server) -> dict[str, int]:
    answer: dict[str, int] = client.get(f"{server.url}/jobs").json()
    return answer


@pytest.mark.slow
def test_a_job_without_an_id_is_added_at_each_start(tmp_path: Path):
    """After three starts the job without an id is in the store three times, and runs three times each night. The one with `id` and `replace_existing=True` is there once."""
    env = settings_of(STORE, tmp_path)
    for start_ in (1, 2, 3):
        with serve(STORE, env=env) as server:
            assert names(server) == {"send_digest": start_, "refresh_prices": 1}
            server.stop()


TELLS_WHETHER_IT_RUNS = """
import threading
from fastapi.testclient import TestClient
from examples.schedules.job_store import app

def run():
    return any(thread.name == "APScheduler" for thread in threading.enumerate())

with TestClient(app):
    print(f"scheduler runs: {run()}")
print(f"scheduler runs: {run()}")
"""


@pytest.mark.slow
def test_the_scheduler_ends_with_the_lifespan(tmp_path: Path):
    """After `shutdown()` the scheduler's thread has ended. Without it, it would run jobs for as long as the process lives: in a test with `TestClient`, through the tests after it."""
    command = (sys.executable, "-c", TELLS_WHETHER_IT_RUNS)
    with start(command, env=settings_of(STORE, tmp_path), ready=None) as process:
        process.wait()
        said = [x.text for x in process.lines if x.text.startswith("scheduler")]
    assert said == ["scheduler runs: True", "scheduler runs: False"]


@pytest.mark.slow
def test_an_id_alone_is_a_conflict_at_the_second_start(tmp_path: Path):
    """With an `id` and without `replace_existing` the second start fails with `ConflictingIdError`."""
    text = (ROOT / "examples/schedules/job_store.py").read_text()
    (tmp_path / "main.py").write_text(
        with_changes(text, {", replace_existing=True": ""})
    )
    env = settings_of(STORE, tmp_path)
    with serve("main:app", cwd=tmp_path, env=env) as server:
        server.stop()
    with start(
        (*PYTHON, "uvicorn", "main:app", "--port", "0"),
        cwd=tmp_path,
        env=env,
        ready="ConflictingIdError",
    ) as server:
        assert server.wait() != 0


class _Report:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def send(self) -> None:
        pass


@pytest.fixture
def with_a_store(tmp_path: Path) -> Iterator[BackgroundScheduler]:
    """A scheduler whose jobs are in a database."""
    scheduler = BackgroundScheduler()
    scheduler.add_jobstore(SQLAlchemyJobStore(f"sqlite:///{tmp_path}/jobs.db"))
    scheduler.start(paused=True)
    yield scheduler
    scheduler.shutdown()


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (lambda: None, "reference to its callable .* could not be determined"),
        (_Report().send, "cannot pickle '_thread.lock' object"),
    ],
)
def test_a_store_keeps_a_function_by_its_name_and_pickles_the_rest(
    job: Callable[[], None], told: str, with_a_store: BackgroundScheduler
):
    """A store keeps the function by its name, and pickles its arguments. A lambda or a local function is a `ValueError`, `This Job cannot be serialized`. A method takes its object along: with a lock, a client or a session in it that is `cannot pickle`."""
    with pytest.raises((ValueError, TypeError), match=told):
        with_a_store.add_job(job, "interval", hours=1)


@pytest.mark.slow
def test_two_processes_with_one_store_run_a_job_twice(tmp_path: Path):
    """Two processes share a store, and a job is due each second: it runs more often than there were seconds. Some runs are made by both."""
    env = settings_of(STORE, tmp_path)
    with serve(STORE, env=env) as first, serve(STORE, env=env) as second:
        for server in (first, second):
            server.wait_for("refresh_prices")

        def too_many() -> float:
            runs = sorted(at for s in (first, second) for _, at in refreshed_by(s))
            return len(runs) - (runs[-1] - runs[0] + 1)

        ask_until(too_many, lambda more: more > 3, 60)


def a_beat(env: dict[str, str], file: Path) -> AbstractContextManager[Server]:
    """Celery's beat, of a changed copy of the example."""
    command = (*PYTHON, "celery", "--app", "changed.queue", "beat")
    options = ("--schedule", str(file), "--loglevel", "INFO")
    return start((*command, *options), env=env, ready="beat: Starting")


def with_schedule(tmp_path: Path, seconds: float) -> dict[str, str]:
    """Settings under which a copy is found that has an interval instead of a time of day."""
    at_three = {'crontab(hour="3", minute="0")': str(seconds)}
    return changed(settings_of(CELERY, tmp_path), tmp_path, CELERY, at_three)


@contextmanager
def two_beats(
    env: dict[str, str], folder: Path, inside: bool
) -> Iterator[list[Server]]:
    """Two beats, each in a worker or both beside one. When all have sent two jobs, the workers."""
    worker = partial(start_worker, NEEDS["schedules/with_celery"], "changed", env)
    files = [folder / "old", folder / "new"]
    with ExitStack() as stack:
        if inside:
            workers = [
                stack.enter_context(worker("-B", "--schedule", str(file)))
                for file in files
            ]
            beats = workers
        else:
            workers = [stack.enter_context(worker())]
            beats = [stack.enter_context(a_beat(env, file)) for file in files]
        for beat in beats:
            beat.wait_for("Sending due task digest", nth=2)
        yield workers


def printed(servers: list[Server], pattern: str) -> list[str]:
    """The lines of all of them in which the pattern is found."""
    lines = [line.text for server in servers for line in server.lines]
    return [text for text in lines if re.search(pattern, text)]


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("inside", [False, True])
def test_of_two_beats_one_digest_is_sent(tmp_path: Path, redis: Service, inside: bool):
    """Two beats, as in a rolling deploy or in two workers with `-B`, send every job twice. The digest of a night is sent once: the job that comes second finds that night claimed."""
    with two_beats(with_schedule(tmp_path, 1.0), tmp_path, inside) as workers:
        claimed = partial(printed, workers, "has been claimed")
        ask_until(claimed, lambda lines: len(lines) >= 3, 30)
        [sent] = printed(workers, r"digest: [\d-]+$")
    [night] = re.findall(r"[\d-]+$", sent)
    assert 0 < ask_redis(redis, f'TTL "digest {night}"') <= 7 * 24 * 3600


def ask_redis(redis: Service, question: str) -> int:
    """The number with which Redis answers."""
    with socket.create_connection(("127.0.0.1", redis.port)) as connection:
        connection.sendall(f"{question}\r\n".encode())
        return int(connection.recv(100)[1:])


@pytest.mark.queues
def test_the_crontab_of_beat_is_in_the_zone_of_the_settings(tmp_path: Path):
    """`crontab(hour="3", minute="0")` is three o'clock in the zone that `queue.conf.timezone` names."""
    ask = (
        "from datetime import timedelta as d; from zoneinfo import ZoneInfo as z;"
        "from examples.schedules.with_celery import queue, at_three;"
        "s = at_three['schedule']; s.app = queue; now = s.now();"
        "print((now + s.remaining_estimate(now)).astimezone(z('Europe/Berlin')))"
    )
    env = os.environ | settings_of(CELERY, tmp_path)
    at = subprocess.check_output([sys.executable, "-c", ask], env=env, cwd=ROOT)
    assert b" 03:00:0" in at or b" 02:59:59" in at


@pytest.mark.slow
@pytest.mark.queues
def test_an_interval_of_beat_begins_anew_without_its_file(tmp_path: Path):
    """Beat is stopped in the middle of an interval. With its schedule file it goes on where it was; without it, as in a new container, the interval begins anew: one that is longer than the time between two deploys never ends."""
    env = with_schedule(tmp_path, 12.0)
    kept = tmp_path / "kept"
    with a_beat(env, kept) as beat:
        time.sleep(5)  # into the interval
        beat.stop()
    with a_beat(env, kept) as goes_on, a_beat(env, tmp_path / "lost") as begins_anew:
        goes_on.wait_for("Sending due task digest")
        assert "Sending due task" not in begins_anew.transcript()
