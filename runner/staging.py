"""Performs a scene of several processes: app, workers, the broker between them."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

import psycopg

from recording.model import (
    Act,
    Exchange,
    Freeze,
    Life,
    Queued,
    Request,
    Run,
    Scene,
)
from recording.processes import is_app
from recording.watching import Event, calls, events_in, since
from runner import process, services
from runner.clients import exchange, new_client
from runner.needs import Needs, needs_of, prepare, start_worker
from runner.process import FAILURES, ROOT, Server, ServerError, free_port, lives, serve
from runner.proxy import Proxy, proxy
from runner.services import Service

_LAST = 200.0
"""Seconds until a scene is over at the latest: a queue may look for dead workers rarely."""
_WATCHED = Path(__file__).parent / "watched_site"
QUEUES = {"rabbitmq": "RabbitMQ", "redis": "Redis", "postgresql": "PostgreSQL"}
"""What a service is called in a figure."""


@dataclass(frozen=True)
class Place:
    """Where a scene is performed: a service with nothing in it, and the settings for it."""

    service: Service | None
    env: Mapping[str, str]


@contextmanager
def place_of(scene: Scene) -> Iterator[Place]:
    """A service of its own, if the scene needs one, until the end of the block."""
    needs = needs_of(target_of(scene))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        service = None
        if needs.service:
            running = services.started(
                needs.service, Path(folder, "service"), **dict(scene.service)
            )
            service = stack.enter_context(running)
        yield Place(service, needs.settings(service, Path(folder)))


def target_of(scene: Scene, process: str = "") -> str:
    """What uvicorn takes, of the example itself or of a process that is another one."""
    example = dict(scene.others).get(process, scene.example)
    return f"examples.{example.replace('/', '.')}:app"


def perform(scene: Scene, place: Place) -> Run:
    """Start its processes, do its steps, and say what happened until it was over."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        events = Path(folder, "events")
        events.touch()
        stage = _Stage(scene, place, events, stack)
        for name in scene.processes:
            stage.start(name)
        if scene.sql:
            with psycopg.connect(place.env["DATABASE"]) as database:
                database.execute(scene.sql)
        exchanges = stage.follow(scene.steps)
        stage.wait_for(scene.until, scene.nth, _LAST)
        stage.wait_for_the_end_of_what_runs()
        over = time.time()
        stack.close()
        seen = [event for event in stage.seen() if event.time < over]
        return stage.run(seen, exchanges, over)


class _Addresses(dict[str, str]):
    """Of processes by their names: one that is asked for listens there, when it runs.

    The settings of the place are known as well.
    """

    def __missing__(self, name: str) -> str:
        self[name] = f"http://127.0.0.1:{free_port()}"
        return self[name]


class _Stage:
    """The processes of a scene, and what was done to them."""

    def __init__(
        self, scene: Scene, place: Place, events: Path, stack: ExitStack
    ) -> None:
        self._scene, self._stack = scene, stack
        self._needs: Needs = needs_of(target_of(scene))
        self._target = scene.module + ":app" if scene.module else target_of(scene)
        packages = place.env.get("PYTHONPATH", "")
        path = [str(_WATCHED), str(ROOT), *([packages] if packages else [])]
        self._addresses = _Addresses(place.env)
        self._env = {
            **place.env,
            **{key: value.format_map(self._addresses) for key, value in scene.env},
            "EVENTS": str(events),
            "PYTHONPATH": ":".join(path),
        }
        self._events = events
        self._running: dict[str, Server | Service] = {}
        """The last of each name."""
        self._servers: list[tuple[str, Server]] = []
        """All that have been started, in that order."""
        self._gone: dict[int, float] = {}
        """Processes that have ended by themselves in the middle of a job, and when."""
        self._lives: list[Life] = []
        self._freezes: list[Future[Freeze]] = []
        self._threads = stack.enter_context(ThreadPoolExecutor(50))
        self._queue = QUEUES.get(self._needs.service, "")
        self._between: dict[str, Proxy] = {}
        """What stands between the service and a process whose network is to be cut."""
        if place.service:
            now = time.time()
            self._lives.append(Life(self._queue, now, now))
            self._running[self._queue] = place.service
            for step in scene.steps:
                if isinstance(step, Act) and step.does == "cut":
                    between = stack.enter_context(proxy(place.service.port))
                    self._between[step.process] = between
        prepare(self._needs, self._module, self._env | {"PROCESS": "prepare"})

    @property
    def _module(self) -> str:
        return self._target.partition(":")[0]

    def start(self, name: str) -> None:
        """Start the process of that name; return when it is ready."""
        begin = time.time()
        server = None
        if isinstance(service := self._running.get(name), Service):
            service.start()
        else:
            server = self._stack.enter_context(self._starting(name))
            server.expect(FAILURES)  # which the figure shows
            self._running[name] = server
            self._servers.append((name, server))
        life = Life(name, begin, time.time())
        self._lives.append(life)
        if server:
            self._threads.submit(self._note_end, server, life)

    def _starting(self, name: str) -> AbstractContextManager[Server]:
        env = self._env | {"PROCESS": name}
        if between := self._between.get(name):
            far, near = f":{between.target}", f":{between.port}"
            env = {key: value.replace(far, near) for key, value in env.items()}
        if is_app(name):
            other = name in dict(self._scene.others)
            target = target_of(self._scene, name) if other else self._target
            return serve(target, *self._ports(name), *self._scene.app_options, env=env)
        return start_worker(self._needs, self._module, env, *self._scene.options)

    def _ports(self, name: str) -> tuple[str, ...]:
        """The option for the port, of a process whose address is in the settings."""
        if name not in self._addresses:
            return ()
        return ("--port", self._addresses[name].rpartition(":")[2])

    def follow(self, steps: tuple[Request | Act, ...]) -> list[Exchange]:
        """Do one step after another; what the clients saw."""
        exchanges: list[Future[Exchange]] = []
        for step in steps:
            self.wait_for(step.after, step.nth)
            time.sleep(step.delay)
            if isinstance(step, Request):
                app = self._running[self._scene.processes[0]]
                assert isinstance(app, Server)
                client = self._stack.enter_context(new_client(base_url=app.url))
                number = len(exchanges)
                exchanges.append(self._threads.submit(exchange, client, number, step))
            else:
                self._do(step)
        return [each.result() for each in exchanges]

    def _do(self, act: Act) -> None:
        if act.does == "start":
            self.start(act.process)
            return
        if act.does in ("freeze", "cut"):
            self._freezes.append(self._freeze(act))
            return
        life = self._life(act.process)
        running = self._running[act.process]
        if act.does == "Ctrl-S":
            assert isinstance(running, Server), act
            life.held = time.time()
            running.press_ctrl_s()
            return
        life.signal, life.signalled = act.does, time.time()
        if act.does == "SIGKILL":
            life.end = life.signalled
            running.kill()
        else:
            assert isinstance(running, Server), f"{act.does} to {act.process}"
            running.process.send_signal(Signals[act.does])

    @staticmethod
    def _note_end(server: Server, life: Life) -> None:
        server.process.wait()
        life.end = life.end or time.time()

    def _life(self, name: str) -> Life:
        return next(life for life in reversed(self._lives) if life.process == name)

    def _freeze(self, act: Act) -> Future[Freeze]:
        """It is frozen, or its network cut, when this returns, and goes on by itself."""
        begin, cut = time.time(), act.does == "cut"
        stopped = self._between if cut else self._running
        frozen = ExitStack()
        frozen.enter_context(stopped[act.process].frozen())

        def end() -> Freeze:
            with frozen:
                self.wait_for(act.until, 1)
                time.sleep(act.lasts)
            return Freeze(begin, time.time(), act.process, cut)

        return self._threads.submit(end)

    def wait_for(self, pattern: str, nth: int, patience: float | None = None) -> None:
        """Wait until the processes have printed it so often, all together.

        Before each line stands the name of its process, such as ``worker 1: ``. That a
        job begins is a line as well: ``send_receipt(7) begins in worker 1``.

        Raises `ServerError` with what they have printed if they do not.
        """
        deadline = time.monotonic() + (patience or process.PATIENCE)
        while pattern and self._told(pattern) < nth:
            if time.monotonic() > deadline:
                told = "\n".join(server.transcript() for _, server in self._servers)
                raise ServerError(f"not printed {nth} times: {pattern}, but\n{told}")
            self._jobs_that_run()
            time.sleep(0.01)

    def wait_for_the_end_of_what_runs(self) -> None:
        """Wait until no job runs in a process that lives. Raises `ServerError` if one goes on."""
        deadline = time.monotonic() + process.PATIENCE
        while running := self._jobs_that_run():
            if time.monotonic() > deadline:
                raise ServerError(f"still running: {', '.join(running)}")
            time.sleep(0.01)

    def _jobs_that_run(self) -> list[str]:
        """What does, and notes which processes have ended in the middle of a job."""
        seen = self.seen()
        ended = {event.id for event in seen if event.kind == "end"}
        killed = self._ends(seen)
        running = [
            event
            for event in self._shown(seen)
            if event.kind == "start"
            and event.id not in ended
            and event.pid not in killed
        ]
        for event in running:
            if not lives(event.pid):
                self._gone.setdefault(event.pid, time.time())
        ending = [life.process for life in self._lives if life.signal and not life.end]
        return ending + [event.job for event in running if event.pid not in self._gone]

    def _shown(self, seen: list[Event]) -> list[Event]:
        """All but the starts of calls that the figure leaves out."""
        queued = {event.job for event in seen if event.kind == "queued"}
        jobs = self._scene.jobs
        return [
            event
            for event in seen
            if event.kind != "start"
            or (event.function in jobs if jobs else event.job in queued)
        ]

    def seen(self) -> list[Event]:
        """What has happened so far in all processes."""
        return events_in(self._events)

    def _told(self, pattern: str) -> int:
        lines = [
            f"{name}: {line.text}"
            for name, server in self._servers
            for line in server.lines
        ]
        lines += [
            f"{event.job} begins in {event.process}"
            for event in self._shown(self.seen())
            if event.kind == "start"
        ]
        return sum(len(re.findall(pattern, line)) for line in lines)

    def run(self, seen: list[Event], exchanges: list[Exchange], over: float) -> Run:
        """What happened, in seconds from the sending of the first request."""
        begin = exchanges[0].sent
        for each in exchanges:
            each.sent = since(begin, each.sent)
            each.received = since(begin, each.received or over)
        queued = [
            Queued(
                event.job,
                since(begin, event.time),
                event.process,
                next(
                    (
                        since(begin, back.time)
                        for back in seen
                        if back.kind == "rolled back" and back.job == event.job
                    ),
                    None,
                ),
            )
            for event in seen
            if event.kind == "queued"
        ]
        found = calls(self._shown(seen), begin, over, self._ends(seen))
        lives = [
            replace(
                life,
                start=since(begin, max(life.start, begin)),
                ready=since(begin, max(life.ready, begin)),
                signalled=since(begin, max(life.signalled, begin)),
                held=since(begin, max(life.held, begin)) if life.held else None,
                end=since(begin, life.end) if life.end and life.end < over else None,
            )
            for life in self._lives
        ]
        freezes = [
            replace(f, start=since(begin, f.start), end=since(begin, f.end))
            for f in (freeze.result() for freeze in self._freezes)
        ]
        return Run(
            exchanges,
            found,
            [],
            freezes,
            lives,
            queued,
            self._queue,
            over=since(begin, over),
        )

    def _ends(self, seen: list[Event]) -> dict[int, float]:
        """When each process was killed, by its number, if it was."""
        ends = dict(self._gone)
        for life in self._lives:
            if life.end is None:  # it runs, or ran until all was over
                continue
            for event in seen:
                if event.process == life.process and event.time >= life.start:
                    ends.setdefault(event.pid, life.end)
        return ends
