"""One trial: a way is set up, something is killed, and the receipts are counted."""

from __future__ import annotations

import http.client
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.ways import Way
from recording.model import Killed, Speed
from runner import Server, serve, services
from runner.needs import prepare, start_worker
from runner.process import FAILURES, kill_tree
from runner.services import Service

_RECEIPT = r"receipt: order (\d+) (started|done)"


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


class Trial:
    """The running parts of one way, and everything that its workers have printed."""

    def __init__(self, way: Way, stack: ExitStack, service: Service | None) -> None:
        self.way = way
        self._stack = stack
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self._lives: list[Server] = []
        self._receipts = Receipts()
        self.service = service
        if way.needs.service and not service:
            running = services.started(way.needs.service, self._folder / "service")
            self.service = stack.enter_context(running)
        self._env = way.needs.settings(self.service, self._folder)
        prepare(way.needs, way.module, self._env)
        self.app = self.worker = self._start_app()

    def _start_app(self) -> Server:
        target = f"{self.way.module}:app"
        return self._keep(serve(target, "--http", "auto", env=self._env))

    def _keep(self, starting: AbstractContextManager[Server]) -> Server:
        server = self._stack.enter_context(starting)
        server.expect(FAILURES)  # it is killed to see what is lost
        self._lives.append(server)
        return server

    def start_worker(self) -> None:
        """Start the worker, if it is not the app."""
        if self.way.needs.worker:
            starting = start_worker(self.way.needs, self.way.module, self._env)
            self.worker = self._keep(starting)

    def kill(self, what: str) -> None:
        """SIGKILL to the worker, the app, the broker, or all of them."""
        if self.service and what in ("broker", "all"):
            self.service.kill()
        if what in ("app", "all") or (what == "worker" and not self.way.needs.worker):
            self.app.kill()
        if self.way.needs.worker and what in ("worker", "all"):
            if self.way.prints:
                kill_tree(self.worker.process.pid, children_only=True)
                self.worker.wait()
            self.worker.kill()

    def restart(self, what: str) -> None:
        """Start again what `kill` has killed."""
        if self.service and what in ("broker", "all"):
            self.service.start()
        if what in ("app", "all") or (what == "worker" and not self.way.needs.worker):
            self.app = self._start_app()
            self.worker = self.worker if self.way.needs.worker else self.app
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
        headers = {"content-type": "application/json"}

        def some(first: int) -> set[int]:
            connection = http.client.HTTPConnection(host, timeout=30)
            accepted = set()
            for number in numbers[first::clients]:
                path = self.way.path.format(number=number)
                connection.request(self.way.method, path, self.way.body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 202:
                    accepted.add(number)
            connection.close()
            return accepted

        with ThreadPoolExecutor(clients) as threads:
            return set().union(*threads.map(some, range(clients)))


@contextmanager
def trial(way: Way, service: Service | None = None) -> Iterator[Trial]:
    """The way's server, if `service` is not that, and its app, without a worker yet."""
    with ExitStack() as stack:
        yield Trial(way, stack, service)


def kill(
    way: Way,
    what: str,
    *,
    jobs: int | None = None,
    after: int | None = None,
    patience: float | None = None,
    service: Service | None = None,
) -> Killed:
    """Kill `what` when a fifth of the jobs is done, or `after` so many; start it again, count.

    The broker is killed right after the last job was accepted, before a worker runs.
    A job is lost that was accepted and is not done within `patience` seconds, by default
    the way's, of the last sign of work.
    """
    jobs = jobs or way.jobs
    with trial(way, service) as running:
        if what != "broker":
            running.start_worker()
        accepted = running.send(range(1, jobs + 1))
        if what != "broker":
            enough = after or jobs // 5
            assert running.wait(lambda: running.done_and_running(enough), 30)
        running.kill(what)
        killed = time.monotonic()
        before = running.said("done")
        running.restart(what)
        if what == "broker":
            running.start_worker()
        running.wait(
            lambda: accepted <= running.said("done").keys(), patience or way.patience
        )
        seconds = time.monotonic() - killed
        done, started = running.said("done"), running.said("started")
    fates = ""
    for number in sorted(accepted):
        if number not in done:
            fates += "l"
        elif started[number] > 1:
            fates += "t"
        else:
            fates += "b" if number in before else "a"
    return Killed(
        accepted=len(accepted),
        lost=fates.count("l"),
        twice=fates.count("t"),
        seconds=round(seconds, 1) if "l" not in fates else None,
        fates=fates,
    )


def speed(way: Way, *, pickups: int = 20) -> Speed:
    """How fast it is: eight clients, and the median of so many `pickups`."""
    jobs = 3 * way.jobs
    with trial(way) as running:
        begin = time.monotonic()
        running.send(range(1, jobs + 1))
        accepted = jobs / (time.monotonic() - begin)
        running.start_worker()
        assert running.wait(lambda: len(running.said("done")) > jobs // 10, 60)
        at, begin = len(running.said("done")), time.monotonic()
        assert running.wait(lambda: len(running.said("done")) == jobs, 60)
        done = (jobs - at) / (time.monotonic() - begin)
        waits = []
        for number in range(jobs + 1, jobs + pickups + 1):
            time.sleep(0.2)
            sent = time.monotonic()
            running.send([number])
            line = running.worker.wait_for(f"receipt: order {number} started")
            waits.append(line.time - sent)
    return Speed(
        accepted=round(accepted, 1), done=round(done, 1), pickup=round(median(waits), 4)
    )
