"""The statements of docs/rq.md."""

import re
import secrets
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from runner import Server, client, serve
from runner.needs import NEEDS, start_worker
from runner.process import PYTHON, ROOT, start
from runner.services import Service
from tests.copying import changed
from tests.orders import answers_without, ask_until, place, state
from tests.services import redis_cli, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.rq.receipts:app"
a_worker = partial(start_worker, NEEDS["rq"], "examples.rq.receipts")


def test_the_job_runs_in_the_worker_and_its_state_can_be_read(
    app: Server, settings: dict[str, str]
):
    """The app answers without a worker; one that starts later runs the job in a process of its own."""
    job = place(app, 7).json()["job"]
    assert state(app, job) == {"status": "queued", "error": None}
    with a_worker(settings) as worker:
        worker.wait_for("send_receipt: order 7 done")
        worker.wait_for("Job OK")
    assert state(app, job) == {"status": "finished", "error": None}
    assert client.get(f"{app.url}/jobs/no-such-job").status_code == 404


def test_a_job_that_fails_is_tried_three_times(app: Server, settings: dict[str, str]):
    """With `Retry(max=2)` a job that raises runs three times; then it is `failed`, with its traceback."""
    job = place(app, 1, "refused").json()["job"]
    with a_worker(settings) as worker:
        worker.expect("refused the connection")
        worker.wait_for("order 1 started", nth=3, timeout=30)
        place(app, 2)
        worker.wait_for("order 2 done")
    end = state(app, job)
    assert end["status"] == "failed"
    assert "refused the connection" in str(end["error"])


def test_a_job_has_180_seconds_unless_it_is_given_more(
    app: Server, settings: dict[str, str], tmp_path: Path
):
    """A job is ended after 180 seconds with `JobTimeoutException`, or after the `job_timeout` that it is enqueued with, here five. To RQ it has failed, and is tried again if it may be."""
    job = place(app, 1).json()["job"]
    assert redis_cli("hget", f"rq:job:{job}", "timeout") == "180\n"
    limited = {
        "retry=retry)": "retry=retry, job_timeout=5)",
        "time.sleep(1 if": "time.sleep(60 if",
    }
    env = changed(settings, tmp_path, APP, limited)
    with (
        serve("changed:app", env=env) as another,
        start_worker(NEEDS["rq"], "changed", env) as worker,
    ):
        worker.expect("JobTimeoutException")
        job = place(another, 2, "slow").json()["job"]
        worker.wait_for("order 2 started", nth=3)
        ask_until(lambda: state(another, job)["status"], lambda s: s == "failed", 30)
        assert "JobTimeoutException" in str(state(another, job)["error"])


@pytest.mark.long
def test_a_killed_workers_job_runs_again_if_it_may_be_retried(
    app: Server, settings: dict[str, str]
):
    """Worker and job are killed. More than a minute later another worker runs the job again."""
    place(app, 1, "slow")
    with a_worker(settings) as first:
        started = first.wait_for("order 1 started")
        first.kill()
    with a_worker(settings) as second:
        again = second.wait_for("order 1 started", timeout=110)
    assert again.time - started.time > 60


def test_without_redis_the_client_gets_503(app: Server, redis: Service):
    """Redis is frozen, so that it accepts and never answers, or killed: whoever places an order or asks for a job gets `503` within eight seconds. When it is back, so is the app."""
    assert place(app, 1).status_code == 202
    for answer in answers_without(redis, app):
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 8
    assert place(app, 3).status_code == 202


@pytest.fixture
def set_policy() -> Iterator[Callable[[str], None]]:
    """Gives Redis little room, and sets what it does when that is full; the room is back then."""

    def fill_up(policy: str) -> None:
        used = re.search(r"used_memory:(\d+)", redis_cli("info", "memory"))
        assert used
        redis_cli("config", "set", "maxmemory-policy", policy)
        redis_cli("config", "set", "maxmemory", str(int(used[1]) + 500_000))

    yield fill_up
    make_room()
    redis_cli("config", "set", "maxmemory-policy", "noeviction")


def make_room() -> None:
    redis_cli("config", "set", "maxmemory", "0")


def fill(server: Server, most: int) -> int:
    """Place orders until one is refused, or that many; how many were accepted."""
    for number in range(1, most + 1):
        answer = place(server, number, secrets.token_hex(5000))
        if answer.status_code != 202:
            assert answer.status_code == 503
            return number - 1
    return most


def test_a_full_redis_without_eviction_refuses_jobs_and_stops_workers(
    app: Server, settings: dict[str, str], set_policy: Callable[[str], None]
):
    """`noeviction`: when Redis is full the client gets `503`. A worker cannot even start, for it has to write too. When there is room again, all that were accepted are done."""
    set_policy("noeviction")
    accepted = fill(app, 1000)
    assert 0 < accepted < 1000
    command = (*PYTHON, *NEEDS["rq"].worker)
    with start(command, env=settings, ready="OutOfMemoryError") as worker:
        assert worker.wait() != 0
    make_room()
    with a_worker(settings) as worker:
        worker.wait_for(r"order \d+ done", nth=accepted, timeout=200)


LEFT = {
    "rq": ("--scan", "--pattern", "rq:job:*"),
    "celery": ("lrange", "celery", "0", "-1"),
    "arq": ("--scan", "--pattern", "arq:job:*"),
}
"""What prints a line for each job that is still there."""


@pytest.mark.parametrize(
    ("queue", "policy"),
    [*((queue, "allkeys-lru") for queue in LEFT), ("arq", "volatile-lru")],
)
def test_a_full_redis_with_eviction_forgets_jobs_that_it_has_accepted(
    queue: str, policy: str, tmp_path: Path, set_policy: Callable[[str], None]
):
    """`allkeys-lru`, with RQ, Celery and arq, and with arq `volatile-lru` too: all clients get `202`, also when Redis is full, and jobs are gone. Nobody is told."""
    target = f"examples.{queue}.receipts:app"
    with serve(target, env=settings_of(target, tmp_path)) as app:
        set_policy(policy)
        assert fill(app, 150) == 150
        left = redis_cli(*LEFT[queue]).splitlines()
        assert len(left) < 140
        assert not [line.text for line in app.lines if "Error" in line.text]


AS_ON_WINDOWS = """
import os, signal
del os.fork, os.posix_spawn, os.posix_spawnp, os.wait4, signal.SIGALRM
"""
"""What Windows lacks, taken from this Python before it does anything else."""


@pytest.mark.parametrize(
    ("worker", "lacks"),
    [
        ("Worker", "module 'os' has no attribute 'fork'"),
        ("SpawnWorker", "module 'os' has no attribute 'posix_spawn'"),
        ("SimpleWorker", ""),
    ],
)
def test_without_fork_and_posix_spawn_only_a_simple_worker_runs(
    worker: str, lacks: str, app: Server, settings: dict[str, str], tmp_path: Path
):
    """A Python without `os.fork`, `os.posix_spawn` and `SIGALRM`, which Windows lacks: the default worker and `SpawnWorker` fail at the first job, `SimpleWorker` runs it."""
    (tmp_path / "sitecustomize.py").write_text(AS_ON_WINDOWS)
    env = settings | {"PYTHONPATH": f"{settings['PYTHONPATH']}:{tmp_path}"}
    options = ("--worker-class", f"rq.worker.{worker}")
    place(app, 1)
    command = (*PYTHON, *NEEDS["rq"].worker, *options)
    with start(command, env=env, ready="Listening on", fork=False) as server:
        server.wait_for(re.escape(lacks) if lacks else "order 1 done")


@pytest.mark.parametrize(("worker", "processes"), [("Worker", 1), ("SimpleWorker", 0)])
def test_a_simple_worker_runs_the_job_in_its_own_process(
    worker: str, processes: int, app: Server, settings: dict[str, str]
):
    """While a job runs, the default worker has a process for it. A `SimpleWorker` has none: a job that kills its process kills the worker."""
    with a_worker(settings, "--worker-class", f"rq.worker.{worker}") as server:
        place(app, 1, "slow")
        server.wait_for("order 1 started")
        assert len(psutil.Process(server.process.pid).children()) == processes


def test_a_killed_work_horse_is_a_failed_job_that_says_with_which_signal(
    app: Server, settings: dict[str, str]
):
    """RQ calls the process of a job its work-horse. It is killed, as it is when memory is short: the job has failed, `Work-horse terminated unexpectedly; waitpid returned 9 (signal 9)`, unless it may be tried again. The worker goes on."""
    once = settings | {"RETRIES": "0"}
    with serve(APP, env=once) as app_, a_worker(settings) as worker:
        worker.expect("terminated unexpectedly")
        job = place(app_, 1, "slow").json()["job"]
        worker.wait_for("order 1 started")
        [horse] = psutil.Process(worker.process.pid).children()
        horse.kill()
        ask_until(lambda: state(app_, job)["status"], lambda s: s == "failed", 30)
        said = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9)"
        assert said in str(state(app_, job)["error"])
        place(app_, 2)
        worker.wait_for("order 2 done")


def test_a_claim_that_a_done_job_leaves_is_no_failure(
    app: Server, settings: dict[str, str]
):
    """RQ 3.0: a job is `finished`, and its claim is still there and has run out. When the worker has looked for such claims it is gone, and the job is `finished`, not `failed`."""
    job = place(app, 7).json()["job"]
    with a_worker(settings) as worker:
        worker.wait_for("Job OK")
        ask_until(lambda: state(app, job)["status"], lambda s: s == "finished", 30)
        redis_cli("zadd", "rq:wip:default", "1", f"{job}:an-execution")
        claims = partial(redis_cli, "zcard", "rq:wip:default")
        ask_until(claims, lambda count: count == "0\n", 60)
    assert state(app, job) == {"status": "finished", "error": None}


def test_a_killed_workers_job_that_may_not_be_retried_is_abandoned(
    settings: dict[str, str], tmp_path: Path
):
    """Worker and job are killed, and there is no `Retry`. When the claim has run out the job is `failed`, with `AbandonedJobError`, and another worker says so."""
    with serve(APP, env=settings | {"RETRIES": "0"}) as app:
        job = place(app, 1, "slow").json()["job"]
        with a_worker(settings) as first:
            first.wait_for("order 1 started")
            first.kill()
        claim = redis_cli("zrange", "rq:wip:default", "0", "-1").strip()
        redis_cli("zadd", "rq:wip:default", "1", claim)  # not to wait for a minute
        with a_worker(settings) as second:
            second.wait_for("Moved to FailedJobRegistry, due to AbandonedJobError")
            place(app, 2)
            second.wait_for("order 2 done", timeout=60)
            assert "order 1" not in second.transcript()
        assert "AbandonedJobError" in str(state(app, job)["error"])
        assert state(app, job)["status"] == "failed"


def a_burst(settings: dict[str, str], *options: str, cwd: Path = ROOT) -> str:
    """Run a worker until it finds no job any more; what it printed."""
    command = (*PYTHON, *NEEDS["rq"].worker, "--burst", *options)
    with start(command, env=settings, cwd=cwd, ready=None) as worker:
        worker.expect("Invalid attribute name")
        worker.wait(60)
        return worker.transcript()


def test_a_worker_of_another_queue_or_database_does_not_see_the_job(
    app: Server, settings: dict[str, str]
):
    """The job is in the queue `default` of database 0. A worker of the queue `high`, and one with `--url redis://…/1`, do nothing, and it is still `queued`. `rq info` says so: `default` with one job, and `0 workers`. `rq worker default` runs it."""
    job = place(app, 1).json()["job"]
    a_burst(settings, "high")
    a_burst(settings, "--url", f"{settings['REDIS']}/1")
    assert state(app, job) == {"status": "queued", "error": None}
    command = (*PYTHON, "rq.cli", "info")
    with a_worker(settings, "high"), start(command, env=settings, ready=None) as info:
        info.wait_for("^default .* 1, ")
        info.wait_for("0 workers, 1 queues")
    assert "order 1 done" in a_burst(settings, "default")


def test_a_worker_that_cannot_import_the_function_fails_the_job(
    app: Server, settings: dict[str, str], tmp_path: Path
):
    """A worker that is started in another folder, and does not find the module, takes the job all the same: it is tried as often as it may be, and `failed` with `Invalid attribute name`."""
    job = place(app, 1).json()["job"]
    printed = a_burst(settings, cwd=tmp_path)
    assert len(re.findall("exception raised while executing", printed)) == 3
    end = state(app, job)
    assert end["status"] == "failed"
    assert "Invalid attribute name: examples.rq.receipts.send_receipt" in end["error"]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_job_that_depends_on_a_failed_one_stays_deferred(
    allowed: bool, settings: dict[str, str], tmp_path: Path
):
    """Enqueued with `depends_on=first`, a job is `deferred` until `first` has run. If that has failed, it stays so, and no worker takes it. With `depends_on=Dependency(jobs=[first], allow_failure=True)` it runs either way."""
    first = "Dependency(jobs=[first], allow_failure=True)" if allowed else "first"
    changes = {
        "job = queue": "first = queue",
        '    except RedisError:\n        raise HTTPException(503, "Orders': "        job = queue.enqueue(send_receipt, order_id + 1, 'tea', depends_on="
        f'{first})\n    except RedisError:\n        raise HTTPException(503, "Orders',
        "import NoSuchJobError\n": "import NoSuchJobError\n"
        "from rq.job import Dependency\n",
    }
    env = changed(settings | {"RETRIES": "0"}, tmp_path, APP, changes)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["rq"], "changed", env) as worker,
    ):
        worker.expect("refused the connection")
        second = place(app, 1, "refused").json()["job"]
        place(app, 11)
        worker.wait_for("order 12 done")
        if allowed:
            worker.wait_for("order 2 done")
        else:
            assert state(app, second)["status"] == "deferred"
            assert "order 2 started" not in worker.transcript()


def test_a_function_of_the_main_module_is_refused(settings: dict[str, str]):
    """A function of the file that `python main.py` runs is refused by `enqueue`: `Functions from the __main__ module cannot be processed by workers`."""
    script = "import redis, rq; rq.Queue(connection=redis.Redis()).enqueue(lambda: 1)"
    with start((sys.executable, "-c", script), env=settings, ready=None) as ended:
        ended.wait_for("ValueError: Functions from the __main__ module cannot be")
        assert ended.wait() == 1
