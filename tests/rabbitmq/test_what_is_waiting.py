"""The statements of docs/what-is-waiting.md."""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from runner import Server, client, serve
from runner.needs import needs_of, prepare, start_worker
from runner.process import PYTHON, ROOT, start
from runner.services import Service
from tests.copying import changed
from tests.orders import ask_until, place
from tests.services import running, settings_of
from workshop.pages import DOCS

PAGE = "what-is-waiting"
TABLE = "examples.what_is_waiting.jobs_table:app"


@dataclass(frozen=True)
class Way:
    """A queue: its example, what makes its slow job endless, and what its commands print."""

    target: str
    slow: str
    waits: str
    """When three jobs wait and no worker runs."""
    runs: str
    """When one runs, and none waits."""
    failed: str = ""
    """When one has failed for good."""

    @property
    def module(self) -> str:
        return self.target.removesuffix(":app")


WAYS = {
    "RQ": Way(
        "examples.rq.receipts:app",
        "1 if item",
        waits="queue default 3, 0 executing",
        runs="queue default 0, 1 executing",
        failed=r"executing, \d finished, 1 failed",
    ),
    "Celery": Way(
        "examples.celery.receipts:app",
        '"slow": 1',
        waits="^3$",
        runs=r"'args': \[4, 'slow'\]",
    ),
    "arq": Way("examples.arq.receipts:app", '"slow": 1', waits="^3$", runs="^1$"),
    "Dramatiq": Way(
        "examples.dramatiq.receipts:app",
        "1 if item",
        waits="^default\t3$",
        runs="^default\t1$",
        failed="^default.XQ\t1$",
    ),
    "Procrastinate": Way(
        "examples.with_postgresql.receipts:app",
        "1 if order.item",
        waits="todo: 3, doing: 0",
        runs="doing: 1,",
        failed=r"send_receipt on default - \[failed\]",
    ),
}
PROGRAMS = {
    "rq": (*PYTHON, "rq.cli"),
    "celery": (*PYTHON, "celery"),
    "arq": (*PYTHON, "arq"),
    "procrastinate": (*PYTHON, "procrastinate"),
}


def commands_of(way: str, columns: int) -> list[str]:
    """What the table with that many columns of the page says of a queue, cell by cell."""
    [row] = [
        cells
        for line in (DOCS / f"{PAGE}.md").read_text().splitlines()
        if line.startswith(f"| {way}")
        and len(cells := re.findall("`(.+?)`", line)) in (columns, columns - 1)
    ]
    return row


def ask(command: str, module: str, env: dict[str, str]) -> str:
    """What a command of the page prints, of the servers and the module of the test."""
    program, *arguments = shlex.split(command.replace("main.", f"{module}."))
    env = os.environ | env
    if program == "redis-cli":
        arguments = ["-p", str(running("redis").port), *arguments]
    elif program == "rabbitmqctl":
        env |= running("rabbitmq").env
        program = (
            "/usr/lib/rabbitmq/bin/rabbitmqctl"  # Debian's wrapper wants another user
        )
        if not Path(program).exists():
            program = "rabbitmqctl"
    asked = subprocess.run(
        [*PROGRAMS.get(program, [program]), *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return asked.stdout + asked.stderr


def comes(command: str, pattern: str, module: str, env: dict[str, str]) -> None:
    """Ask until the command prints that."""
    ask_until(
        lambda: ask(command, module, env),
        lambda printed: bool(re.search(pattern, printed, re.MULTILINE)),
        60,
    )


def with_an_endless_job(way: Way, folder: Path) -> dict[str, str]:
    """The settings for a copy of its example, `changed`, whose slow job never ends."""
    settings = {"PYTHONPATH": ""} | settings_of(way.target, folder)
    endless = {way.slow: way.slow.replace("1", "3600", 1)}
    env = changed(settings, folder, way.target, endless)
    prepare(needs_of(way.target), "changed", env)
    return env


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("name", WAYS)
def test_each_command_of_the_table(name: str, tmp_path: Path):
    """Each command is typed, against a real server: three jobs wait; one has failed; one runs."""
    way = WAYS[name]
    waits, runs, *failed = commands_of(name, 3)
    env = with_an_endless_job(way, tmp_path)
    with serve("changed:app", env=env) as app:
        for number, item in enumerate(("refused", "tea", "tea"), 1):
            assert place(app, number, item).status_code == 202
        comes(waits, way.waits, "changed", env)
        with start_worker(needs_of(way.target), "changed", env) as worker:
            worker.expect("refused the connection")  # of the job that fails
            worker.wait_for("order 1 started", nth=2 if name == "Procrastinate" else 3)
            worker.wait_for("order 3 done")
            for command in failed:
                comes(command, way.failed, "changed", env)
            place(app, 4, "slow")
            worker.wait_for("order 4 started")
            comes(runs, way.runs, "changed", env)


@pytest.mark.slow
@pytest.mark.queues
def test_each_command_of_the_table_for_taskiq(tmp_path: Path):
    """Three jobs of Taskiq wait, and then a worker has them."""
    target = "examples.many_machines.app:app"
    env = settings_of(target, tmp_path)
    waits, runs = commands_of("Taskiq", 2)
    with serve(target, env=env) as app:
        for number in (1, 2, 3):
            client.put(f"{app.url}/orders/{number}", json={"item": "slow"})
        comes(waits, "^receipts\t3$", "", env)
        with start_worker(needs_of(target), "", env) as worker:
            worker.wait_for("send_receipt: order", nth=3)
            with frozen_children(worker):
                comes(runs, "^receipts\t3$", "", env)


@contextmanager
def frozen_children(server: Server) -> Iterator[None]:
    """What the process has started gets no time until the end of the block."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    for child in children:
        child.suspend()
    try:
        yield
    finally:
        for child in children:
            child.resume()


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("name", ["RQ", "Procrastinate"])
def test_each_command_that_runs_a_job_again(name: str, tmp_path: Path):
    """A job that has failed for good is run again by that command."""
    way = WAYS[name]
    *_, failed = commands_of(name, 3)
    [again] = commands_of(name, 1)
    env = with_an_endless_job(way, tmp_path)
    tries = 2 if name == "Procrastinate" else 3
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs_of(way.target), "changed", env) as worker,
    ):
        worker.expect("refused the connection")  # of the job that fails
        place(app, 1, "refused")
        worker.wait_for("order 1 started", nth=tries)
        comes(failed, way.failed, "changed", env)
        ask(again, "changed", env)
        worker.wait_for("order 1 started", nth=tries + 1)


@pytest.mark.slow
@pytest.mark.queues
def test_what_a_worker_has_taken_is_not_ready_though_it_waits(tmp_path: Path):
    """A Dramatiq worker with one thread takes a second job while it runs the first: none is ready, two are unacknowledged, and one waits."""
    way = WAYS["Dramatiq"]
    waits, runs, _ = commands_of("Dramatiq", 3)
    env = with_an_endless_job(way, tmp_path)
    one = ("--processes", "1", "--threads", "1")
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs_of(way.target), "changed", env, *one) as worker,
    ):
        place(app, 1, "slow")
        worker.wait_for("order 1 started")
        place(app, 2)
        comes(runs, "^default\t2$", "changed", env)
        comes(waits, "^default\t0$", "changed", env)
        assert "order 2" not in worker.transcript()


@pytest.mark.slow
@pytest.mark.queues
def test_celery_inspect_asks_workers_and_not_the_queue(tmp_path: Path):
    """`celery inspect active` asks the workers. While none is up it prints `No nodes replied`, whatever waits."""
    way = WAYS["Celery"]
    waits, runs = commands_of("Celery", 2)
    env = settings_of(way.target, tmp_path)
    with serve(way.target, env=env) as app:
        place(app, 1)
        comes(waits, "^1$", way.module, env)
        assert "No nodes replied" in ask(runs, way.module, env)


@pytest.mark.slow
@pytest.mark.queues
def test_the_health_check_of_arq_tells_of_its_last_round(tmp_path: Path):
    """`arq --check main.WorkerSettings` prints what the worker last wrote down, by default an hour ago at most: it says that a job is queued when none is. It fails before a worker has run and after a clean stop, but not after a kill."""
    way = WAYS["arq"]
    [waits, _] = commands_of("arq", 2)
    check = "arq --check main.WorkerSettings"
    env = settings_of(way.target, tmp_path)
    with serve(way.target, env=env) as app:
        assert "no health check sentinel value" in ask(check, way.module, env)
        place(app, 1, "slow")
        with start_worker(needs_of(way.target), way.module, env) as worker:
            worker.wait_for("order 1 done")
            comes(waits, "^0$", way.module, env)
            assert "queued=1" in ask(check, way.module, env)
            worker.kill()
        assert "queued=1" in ask(check, way.module, env)
        with start_worker(needs_of(way.target), way.module, env) as worker:
            worker.stop()
        assert "no health check sentinel value" in ask(check, way.module, env)


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("own_keys", [False, True])
def test_arq_workers_share_one_health_check_unless_each_has_a_key(
    own_keys: bool, tmp_path: Path
):
    """Of two arq workers one stops, as in a deploy: it deletes the key that they share, and `--check` says that the other is dead, until that one writes it again. With a `health_check_key` of its own it is alive."""
    way = WAYS["arq"]
    env = settings_of(way.target, tmp_path)
    if own_keys:
        key = {
            "class WorkerSettings:\n": "class WorkerSettings:\n"
            "    health_check_key = f\"health-of-{os.environ['NAME']}\"\n"
        }
        env = changed(env, tmp_path, way.target, key)
    module = "changed" if own_keys else way.module
    first, second = ({**env, "NAME": name} for name in ("first", "second"))
    check = "arq --check main.WorkerSettings"
    with start_worker(needs_of(way.target), module, second):
        with start_worker(needs_of(way.target), module, first) as stopped:
            stopped.stop()
        said = ask(check, module, second)
    assert ("no health check sentinel value" in said) != own_keys


@pytest.mark.slow
@pytest.mark.queues
def test_what_a_celery_worker_has_taken_is_unacked(tmp_path: Path):
    """What a Celery worker has taken is no longer in the list: `redis-cli hlen unacked` counts it, with the settings of the page on Celery."""
    way = WAYS["Celery"]
    waits, _ = commands_of("Celery", 2)
    env = with_an_endless_job(way, tmp_path)
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs_of(way.target), "changed", env) as worker,
    ):
        place(app, 1, "slow")
        worker.wait_for("order 1 started")
        comes(waits, "^0$", "changed", env)
        comes("redis-cli hlen unacked", "^1$", "changed", env)


ARQ_RESULTS = """
import asyncio
from arq import create_pool
from examples.arq.receipts import WorkerSettings

async def main():
    pool = await create_pool(WorkerSettings.redis_settings)
    for job in await pool.all_job_results():
        print(job.job_id, job.success)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.queues
def test_all_job_results_of_arq_has_what_failed(tmp_path: Path):
    """`await pool.all_job_results()` has a result for each job that has ended, for as long as `keep_result` says: those with `success=False` have failed."""
    way = WAYS["arq"]
    env = settings_of(way.target, tmp_path)
    with serve(way.target, env=env) as app:
        place(app, 1, "refused")
        place(app, 2)
        with start_worker(needs_of(way.target), way.module, env) as worker:
            worker.wait_for("max retries 3 exceeded", timeout=60)
            worker.wait_for("order 2 done")
            ask_until(lambda: arq_results(env), lambda said: len(said) == 2, 30)
    assert arq_results(env) == ["order-1 False", "order-2 True"]


def arq_results(env: dict[str, str]) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", ARQ_RESULTS]
    said = subprocess.check_output(command, env=os.environ | env, cwd=ROOT, text=True)
    return sorted(said.splitlines())


def order(server: Server, item: str) -> None:
    assert client.post(f"{server.url}/orders?item={item}").status_code == 202


def jobs(server: Server) -> dict[str, int]:
    answer: dict[str, int] = client.get(f"{server.url}/jobs").json()
    return answer


def test_the_jobs_are_counted_by_their_state():
    """One query counts the jobs by their state. What has failed is listed with its error, and runs again when it is told to."""
    with serve(TABLE) as server:
        for item in ("refused", "tea", "stuck", "tea", "tea"):
            order(server, item)
        counted = {"done": 1, "failed": 1, "running": 1, "waiting": 2}
        ask_until(lambda: jobs(server), lambda now: now == counted, 30)
        [failed] = client.get(f"{server.url}/jobs/failed").json()
        assert failed["item"] == "refused"
        assert "refused the connection" in failed["error"]
        assert client.post(f"{server.url}/jobs/failed/again").json() == {"jobs": 1}
        assert jobs(server) == {"done": 1, "running": 1, "waiting": 3}


@pytest.mark.slow
def test_what_runs_again_has_not_waited_since_it_was_placed():
    """A job that failed and is told to run again begins to wait anew: no alarm."""
    with serve(TABLE, env={"PATIENCE": "3"}) as server:
        order(server, "refused")
        ask_until(lambda: jobs(server), lambda now: now == {"failed": 1}, 30)
        order(server, "stuck")
        time.sleep(3.2)  # longer than PATIENCE
        client.post(f"{server.url}/jobs/failed/again")
        assert client.get(f"{server.url}/jobs/alarm").status_code == 200
        assert jobs(server) == {"running": 1, "waiting": 1}


@pytest.mark.slow
def test_the_alarm_goes_off_by_the_age_of_the_oldest():
    """Several jobs wait, none for long: no alarm. One is stuck and one waits, for longer than `PATIENCE`: `503`."""
    with serve(TABLE, env={"PATIENCE": "60"}) as busy:
        for _ in range(20):
            order(busy, "tea")
        assert jobs(busy)["waiting"] > 1
        assert client.get(f"{busy.url}/jobs/alarm").status_code == 200
    with serve(TABLE, env={"PATIENCE": "2"}) as stuck:
        assert client.get(f"{stuck.url}/jobs/alarm").json() == {"seconds": 0}
        order(stuck, "stuck")
        order(stuck, "tea")
        status = lambda: client.get(f"{stuck.url}/jobs/alarm").status_code  # noqa: E731
        assert status() == 200
        ask_until(status, lambda now: now == 503, 30)
        assert jobs(stuck) == {"running": 1, "waiting": 1}


STOPS = "examples.celery_limits_and_stops.stops:app"


def ping(env: dict[str, str], name: str = "celery@probed", shell: bool = False) -> int:
    """How `celery inspect ping` ends, asked for the worker of that name."""
    command = [*PYTHON, "celery", "--app", "changed.queue", "inspect", "ping"]
    command += ["--destination", name, "--timeout", "5"]
    if shell:
        command = ["sh", "-c", " ".join(command)]
    with start(command, env=env, ready=None) as asked:
        asked.expect("No nodes replied|Could not connect")
        return asked.wait()


def probed(folder: Path) -> dict[str, str]:
    """The environment of an app and a worker whose job does not end meanwhile."""
    endless = {"time.sleep(0.1)": "time.sleep(60)"}
    return changed(settings_of(STOPS, folder), folder, STOPS, endless)


def a_probed_worker(
    env: dict[str, str], *options: str
) -> AbstractContextManager[Server]:
    """A worker of the name that `ping` asks for."""
    options = ("--concurrency", "1", "--hostname", "celery@probed", *options)
    return start_worker(needs_of(STOPS), "changed", env, *options)


@pytest.mark.queues
@pytest.mark.parametrize(("pool", "busy"), [("prefork", 0), ("solo", 69)])
def test_a_worker_at_work_answers_a_probe_unless_its_pool_is_solo(
    pool: str, busy: int, tmp_path: Path
):
    """`celery inspect ping` ends with 0 if the worker of that name answers, and it does while it works. With `--pool solo` a worker at work does not answer: exit code 69, as for one that is gone."""
    env = probed(tmp_path)
    with (
        serve("changed:app", env=env) as app,
        a_probed_worker(env, "--pool", pool) as worker,
    ):
        assert ping(env) == 0
        client.post(f"{app.url}/reports/2026")
        worker.wait_for("build_report: 2026, page 1")
        assert ping(env) == busy
        worker.kill()
        assert ping(env) == 69


@pytest.mark.queues
def test_a_probe_without_a_shell_asks_for_nobody(tmp_path: Path):
    """Without a shell `$HOSTNAME` is no name, and nobody answers: 69. So write `["sh", "-c", "celery … --destination celery@$HOSTNAME"]`."""
    env = probed(tmp_path) | {"HOSTNAME": "probed"}
    with a_probed_worker(env):
        assert ping(env, "celery@$HOSTNAME") == 69
        assert ping(env, "celery@$HOSTNAME", shell=True) == 0


@pytest.mark.queues
def test_while_the_broker_is_down_every_worker_fails_its_probe(
    tmp_path: Path, redis: Service
):
    """While Redis is down the probe ends with 69 too, though the worker works: Kubernetes would restart each of them, in the middle of its job."""
    env = probed(tmp_path)
    with (
        serve("changed:app", env=env) as app,
        a_probed_worker(env) as worker,
    ):
        worker.expect("Connection|ERROR|Traceback|CPendingDeprecationWarning")
        client.post(f"{app.url}/reports/2026")
        worker.wait_for("build_report: 2026, page 1")
        redis.kill()
        assert ping(env) == 69
