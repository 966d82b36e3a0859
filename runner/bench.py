"""What each way loses when something is killed, and how fast it is: ``make bench``."""

from __future__ import annotations

import http.client
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from runner import services
from runner.record import RECORDINGS, made_with
from runner.server import ROOT, Server, kill_tree, serve, start
from runner.services import Service

RECORDING = RECORDINGS / "choosing" / "bench.json"
PATIENCE = 20.0
"""Seconds without any job starting or ending, after which what is not done is lost."""

_PYTHON = (sys.executable, "-m")


@dataclass(frozen=True)
class Way:
    """One way to run the job ``send_receipt``: an app, and perhaps a worker and a server."""

    name: str
    settings: str
    """Which settings: those of the page, or the defaults."""
    target: str
    worker: tuple[str, ...] = ()
    """The worker's command after ``python -m``; without one the app does the work."""
    ready: str = ""
    """What the worker prints when it is ready."""
    service: str = ""
    """The server it needs: a function of `runner.services`."""
    packages: str = ""
    """The folder under ``.cache`` with packages that others would not bear."""
    prepare: tuple[str, ...] = ()
    """A command to run once, after ``python -m``."""
    env: dict[str, str] = field(default_factory=dict)
    patience: float = PATIENCE
    jobs: int = 100
    """How many; fewer where each takes long, as RQ forks for each."""
    loses: bool = False
    """Whether the page says that it may lose jobs."""
    prints: bool = False
    """Whether the worker's first process only prints what the others say, and ends with them.

    Killed with them, it would take with it what jobs have said that are done.
    """


_CELERY = (
    "celery",
    "--app",
    "{module}.queue",
    "worker",
    "--concurrency",
    "10",
    "--loglevel",
    "INFO",
)
_ARQ = ("arq", "{module}.WorkerSettings")
_DRAMATIQ = ("dramatiq", "--processes", "1", "--threads", "10", "{module}")
_RQ = ("rq.cli", "worker", "--path", ".", "--maintenance-interval", "5")
_PROCRASTINATE = ("procrastinate", "--app", "{module}.queue")

WAYS = [
    Way("BackgroundTasks", "", "examples.what_is_lost.background_tasks", loses=True),
    Way("asyncio.Queue", "", "examples.what_is_lost.in_process_queue", loses=True),
    Way("ProcessPoolExecutor", "", "examples.what_is_lost.process_pool", loses=True),
    Way(
        "Jobs table in SQLite",
        "of the page",
        "examples.durable_on_one_machine.jobs_table",
        env={"LEASE": "2"},
    ),
    Way(
        "DBOS on SQLite",
        "of the page",
        "examples.durable_on_one_machine.workflows",
    ),
    Way(
        "Taskiq, RabbitMQ",
        "of the page",
        "examples.many_machines.app",
        ("taskiq", "worker", "--workers", "1", "examples.many_machines.tasks:broker"),
        "Listening started",
        "rabbitmq",
    ),
    Way(
        "Procrastinate, PostgreSQL",
        "of the page",
        "examples.with_postgresql.receipts",
        (*_PROCRASTINATE, "worker"),
        "Starting worker",
        "postgresql",
        prepare=(*_PROCRASTINATE, "schema", "--apply"),
        env={"DEAD_AFTER": "3", "RESCUE": "* * * * * */2"},
    ),
    Way(
        "Procrastinate, PostgreSQL",
        "default",
        "examples.with_postgresql.receipts",
        (*_PROCRASTINATE, "worker"),
        "Starting worker",
        "postgresql",
        prepare=(*_PROCRASTINATE, "schema", "--apply"),
        env={"RESCUE": "0 0 1 1 *"},
        loses=True,
    ),
    Way(
        "Celery, Redis",
        "of the page",
        "examples.celery.receipts",
        _CELERY,
        "ready",
        "redis",
        "celery",
        env={"LONGEST_JOB": "5"},
        loses=True,  # one at most: see the page
    ),
    Way(
        "Celery, Redis",
        "default",
        "runner.celery_defaults",
        _CELERY,
        "ready",
        "redis",
        "celery",
        loses=True,
    ),
    Way(
        "Celery, RabbitMQ",
        "of the page",
        "examples.celery.receipts",
        _CELERY,
        "ready",
        "rabbitmq",
        "celery",
        env={"RESULTS": "rpc://"},
    ),
    Way(
        "Celery, RabbitMQ",
        "default",
        "runner.celery_defaults",
        _CELERY,
        "ready",
        "rabbitmq",
        "celery",
        env={"RESULTS": "rpc://"},
        loses=True,
    ),
    Way(
        "arq, Redis",
        "of the page",
        "examples.arq.receipts",
        _ARQ,
        "Starting worker",
        "redis",
        "arq",
        env={"LONGEST_JOB": "5"},
    ),
    Way(
        "arq, Redis",
        "default",
        "examples.arq.receipts",
        _ARQ,
        "Starting worker",
        "redis",
        "arq",
        loses=True,
    ),
    Way(
        "Dramatiq, RabbitMQ",
        "of the page",
        "examples.dramatiq.receipts",
        _DRAMATIQ,
        "ready for action",
        "rabbitmq",
        "dramatiq",
        prints=True,
    ),
    Way(
        "Dramatiq, RabbitMQ",
        "default",
        "examples.dramatiq.receipts",
        _DRAMATIQ,
        "ready for action",
        "rabbitmq",
        "dramatiq",
        prints=True,
        env={"CONFIRM": "no"},
        loses=True,
    ),
    Way(
        "RQ, Redis",
        "of the page",
        "examples.rq.receipts",
        (*_RQ, "--worker-ttl", "20", "--job-monitoring-interval", "5"),
        "Listening on",
        "redis",
        "rq",
        patience=100,
        jobs=30,
    ),
    Way(
        "RQ, Redis",
        "default",
        "examples.rq.receipts",
        ("rq.cli", "worker", "--path", "."),
        "Listening on",
        "redis",
        "rq",
        env={"RETRIES": "0"},
        jobs=30,
        loses=True,
    ),
]
_RECEIPT = r"receipt: order (\d+) (started|done)"
KILLS = ("worker", "app", "broker", "all")


class Receipts:
    """Counts what processes say of the receipts, in the lines that they have printed."""

    def __init__(self) -> None:
        self._counts = {"started": Counter[int](), "done": Counter[int]()}
        self._read = Counter[Server]()

    def said(self, lives: Sequence[Server], what: str) -> Counter[int]:
        """How often the receipt of each order was "started", or "done", so far."""
        for life in lives:
            lines = life.lines
            for line in lines[self._read[life] :]:
                # several: processes that write to one terminal may share a line
                for order, said in re.findall(_RECEIPT, line.text):
                    self._counts[said][int(order)] += 1
            self._read[life] = len(lines)
        return self._counts[what].copy()


class Setup:
    """The running parts of one way, and everything that its workers have printed."""

    def __init__(self, way: Way, stack: ExitStack, service: Service | None) -> None:
        self.way = way
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._lives: list[Server] = []
        self._receipts = Receipts()
        self.service = service
        if way.service and not service:
            self.service = self._start_service()
        self._env = self._settings()
        self._worker = self._command(way.worker)
        if way.prepare:
            with start(self._command(way.prepare), env=self._env, ready="") as once:
                once.process.wait(60)
        self.app = self.worker = self._start_app()

    def _command(self, parts: tuple[str, ...]) -> list[str]:
        named = [part.format(module=self.way.target) for part in parts]
        return [*_PYTHON, *named] if parts else []

    def _start_service(self) -> Service:
        folder = self._folder / "service"
        folder.mkdir()
        service: Service = getattr(services, self.way.service)(folder)
        self._stack.callback(service.kill)
        service.start()
        return service

    def _settings(self) -> dict[str, str]:
        port = self.service.port if self.service else 0
        urls = {
            "": {"DATABASE": str(self._folder / "jobs.db")},
            "rabbitmq": {
                "RABBITMQ": f"amqp://guest:guest@127.0.0.1:{port}/%2F",
                "BROKER": f"amqp://guest:guest@127.0.0.1:{port}//",
                "DATABASE": f"sqlite+aiosqlite:///{self._folder}/shop.db?timeout=60",
            },
            "redis": dict.fromkeys(
                ("REDIS", "BROKER", "RQ_REDIS_URL"), f"redis://127.0.0.1:{port}"
            ),
            "postgresql": {
                "DATABASE": f"postgresql://postgres@127.0.0.1:{port}/postgres"
            },
        }
        packages = {"PYTHONPATH": str(ROOT / ".cache" / self.way.packages)}
        return (
            urls[self.way.service]
            | (packages if self.way.packages else {})
            | self.way.env
        )

    def _start_app(self) -> Server:
        target = f"{self.way.target}:app"
        return self._keep(serve(target, "--http", "auto", env=self._env))

    def _keep(self, starting: Any) -> Server:
        server: Server = self._stack.enter_context(starting)
        self._lives.append(server)
        return server

    def start_worker(self) -> None:
        """Start the worker, if it is not the app."""
        if self._worker:
            starting = start(self._worker, env=self._env, ready=self.way.ready)
            self.worker = self._keep(starting)

    def kill(self, what: str) -> None:
        """SIGKILL to the worker, the app, the broker, or all of them."""
        if self.service and what in ("broker", "all"):
            self.service.kill()
        if what in ("app", "all") or (what == "worker" and not self._worker):
            self.app.kill()
        if self._worker and what in ("worker", "all"):
            if self.way.prints:
                kill_tree(self.worker.process.pid, children_only=True)
                self.worker.wait()
            self.worker.kill()

    def restart(self, what: str) -> None:
        """Start again what `kill` has killed."""
        if self.service and what in ("broker", "all"):
            self.service.start()
        if what in ("app", "all") or (what == "worker" and not self._worker):
            self.app = self._start_app()
            self.worker = self.worker if self._worker else self.app
        if what in ("worker", "all"):
            self.start_worker()

    def said(self, what: str) -> Counter[int]:
        """How often the receipt of each order was started, or done."""
        return self._receipts.said(self._lives, what)

    def wait(self, condition: Callable[[], bool], patience: float) -> bool:
        """Wait until it is true, or until nothing new has been printed for that long."""
        before, since = -1, time.monotonic()
        while not condition():
            now = self.said("started").total() + self.said("done").total()
            if now != before:
                before, since = now, time.monotonic()
            if time.monotonic() - since > patience:
                return False
            time.sleep(0.005)
        return True

    def done_and_running(self, enough: int) -> bool:
        """Whether so many are done and another one has begun."""
        started, done = self.said("started"), self.said("done")
        return done.total() >= enough and started.total() > done.total()

    def send(self, numbers: Sequence[int]) -> set[int]:
        """Place these orders with eight clients; those that were accepted."""
        host = self.app.url.removeprefix("http://")
        clients = 8

        def some(first: int) -> set[int]:
            connection = http.client.HTTPConnection(host, timeout=30)
            accepted = set()
            for number in numbers[first::clients]:
                _request(connection, self.way, number)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 202:
                    accepted.add(number)
            connection.close()
            return accepted

        with ThreadPoolExecutor(clients) as threads:
            return set().union(*threads.map(some, range(clients)))


def _request(connection: http.client.HTTPConnection, way: Way, number: int) -> None:
    if way.target == "examples.many_machines.app":
        headers = {"content-type": "application/json"}
        connection.request("PUT", f"/orders/{number}", '{"item":"tea"}', headers)
    else:
        connection.request("POST", f"/orders/{number}/tea")


@contextmanager
def running(way: Way, service: Service | None = None) -> Iterator[Setup]:
    """The way's server, if `service` is not that, and its app, without a worker yet."""
    with ExitStack() as stack:
        yield Setup(way, stack, service)


def kill(
    way: Way,
    what: str,
    *,
    jobs: int | None = None,
    patience: float | None = None,
    service: Service | None = None,
) -> dict[str, Any]:
    """Kill `what` when a part of the jobs is done, start it again, and count.

    The broker is killed right after the last job was accepted, before a worker runs.
    Returns ``lost``: accepted and not done within `patience` seconds, by default the way's,
    of the last sign of work; ``twice``: started more than once; ``seconds``: from the kill to the last job
    done; ``fates``: a letter for each job, in the order of its number: done ``b``efore
    the kill, ``a``fter it, started ``t``wice, or ``l``ost.
    """
    jobs = jobs or way.jobs
    with running(way, service) as setup:
        if what != "broker":
            setup.start_worker()
        accepted = setup.send(range(1, jobs + 1))
        if what != "broker":
            enough = jobs // 5
            assert setup.wait(lambda: setup.done_and_running(enough), 30)
        setup.kill(what)
        killed = time.monotonic()
        before = setup.said("done")
        setup.restart(what)
        if what == "broker":
            setup.start_worker()
        setup.wait(
            lambda: accepted <= setup.said("done").keys(), patience or way.patience
        )
        seconds = time.monotonic() - killed
        done, started = setup.said("done"), setup.said("started")
    fates = ""
    for number in sorted(accepted):
        if number not in done:
            fates += "l"
        elif started[number] > 1:
            fates += "t"
        else:
            fates += "b" if number in before else "a"
    return {
        "accepted": len(accepted),
        "lost": fates.count("l"),
        "twice": fates.count("t"),
        "seconds": round(seconds, 1) if "l" not in fates else None,
        "fates": fates,
    }


def speed(way: Way, *, pickups: int = 20) -> dict[str, float]:
    """How fast it is with one worker, whose jobs take 0.05 s, ten at a time.

    ``accepted``: requests answered in a second by the app, with eight clients and no
    worker (or with, where the app does the work); ``done``: jobs done in a second;
    ``pickup``: median seconds from the request to the first line of its job.
    """
    jobs = 3 * way.jobs
    with running(way) as setup:
        begin = time.monotonic()
        setup.send(range(1, jobs + 1))
        accepted = jobs / (time.monotonic() - begin)
        setup.start_worker()
        assert setup.wait(lambda: len(setup.said("done")) > jobs // 10, 60)
        at, begin = len(setup.said("done")), time.monotonic()
        assert setup.wait(lambda: len(setup.said("done")) == jobs, 60)
        done = (jobs - at) / (time.monotonic() - begin)
        waits = []
        for number in range(jobs + 1, jobs + pickups + 1):
            time.sleep(0.2)
            sent = time.monotonic()
            setup.send([number])
            line = setup.worker.wait_for(f"receipt: order {number} started")
            waits.append(line.time - sent)
    return {
        "accepted": round(accepted, 1),
        "done": round(done, 1),
        "pickup": round(median(waits), 4),
    }


def kills_of(way: Way) -> list[str]:
    """What can be killed: a way without a worker is one process, without a server two."""
    if not way.worker:
        return ["worker"]
    if way.settings == "default":  # what happens to the app is the same
        return ["worker", "broker", "all"]
    return [*KILLS]


def main() -> None:
    """Measure all ways, or those whose names hold one of the arguments; keep the figures."""
    ways = [
        w for w in WAYS if not sys.argv[1:] or any(a in w.name for a in sys.argv[1:])
    ]
    rows = []
    steps = sum(len(kills_of(way)) + 1 for way in ways)
    step, begin = 0, time.monotonic()

    def progress(text: str) -> None:
        nonlocal step
        step += 1
        passed = time.monotonic() - begin
        print(f"{step:3} of {steps}, {passed:5.0f} s: {text}", flush=True)

    for way in ways:
        row: dict[str, Any] = {"name": way.name, "settings": way.settings, "kills": {}}
        for what in kills_of(way):
            progress(f"{way.name} ({way.settings or 'as it is'}), SIGKILL to: {what}")
            row["kills"][what] = kill(way, what)
            print(
                "     ", {k: v for k, v in row["kills"][what].items() if k != "fates"}
            )
        progress(f"{way.name} ({way.settings or 'as it is'}), speed")
        row["speed"] = speed(way)
        print("     ", row["speed"])
        rows.append(row)
    recording = {
        **made_with(
            "fastapi", "uvicorn", "taskiq", "taskiq-aio-pika", "procrastinate", "dbos"
        ),
        "rows": rows,
    }
    if not sys.argv[1:]:
        RECORDING.parent.mkdir(exist_ok=True)
        RECORDING.write_text(json.dumps(recording, indent=1) + "\n")
    wrong = [
        way.name
        for way, row in zip(ways, rows, strict=True)
        if not way.loses and any(k["lost"] for k in row["kills"].values())
    ]
    if wrong:
        sys.exit(f"jobs were lost where the page says none: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
