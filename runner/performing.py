"""Performs a scene under a real uvicorn, and says what happened."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from recording.model import (
    Exchange,
    Freeze,
    MadeWith,
    Recording,
    Request,
    Run,
    Scene,
    read,
)
from recording.watching import NUMBER, Event, calls, handed_over, printed, since
from runner import services
from runner.clients import new_client
from runner.needs import Needs, needs_of
from runner.process import PYTHON, ROOT, Server, start


def perform(scene: Scene, settings: Mapping[str, str] | None = None) -> Recording:
    """Run a scene once.

    `settings` are the example's environment. Without them it has a server of its own, if it
    needs one. Raises `Missing` where that is not installed.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        events = Path(folder, "events")
        events.touch()
        target = target_of(scene)
        if settings is None:
            settings = stack.enter_context(_settings(needs_of(target), Path(folder)))
        command = (*PYTHON, "runner.watched", target)
        with start(command, env={**settings, "EVENTS": str(events)}) as server:
            exchanges, freezes = _send(scene, server)
            if scene.until:
                server.wait_for(scene.until)
            server.stop(timeout=30)  # uvicorn waits for running tasks
        lines = events.read_text().splitlines()
    seen = [read(Event, json.loads(line)) for line in lines]
    begin = exchanges[0].sent
    handed = handed_over(seen, begin)
    for number, exchange in enumerate(exchanges):
        exchange.sent = since(begin, exchange.sent)
        exchange.received = since(begin, exchange.received or 0)
        exchange.handed_over = handed[number]
    freezes = [Freeze(since(begin, f.start), since(begin, f.end)) for f in freezes]
    run = Run(exchanges, calls(seen, begin), printed(seen, begin), freezes)
    versions = MadeWith.here("fastapi", "starlette", "uvicorn")
    return Recording(scene, versions, run, source_of(scene))


def target_of(scene: Scene) -> str:
    """What uvicorn takes for the example of a scene."""
    return f"examples.{scene.example.replace('/', '.')}:app"


@contextmanager
def _settings(needs: Needs, folder: Path) -> Iterator[dict[str, str]]:
    """The environment of an example, and until the end of the block the server in it."""
    if not needs.service:
        yield needs.settings(None, folder)
        return
    service: services.Service = getattr(services, needs.service)(folder)
    service.start()
    try:
        yield needs.settings(service, folder)
    finally:
        service.kill()


def source_of(scene: Scene) -> str:
    """What tells whether the example has changed: the SHA-256 of its file, in 16 digits."""
    file = ROOT / "examples" / f"{scene.example}.py"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _send(scene: Scene, server: Server) -> tuple[list[Exchange], list[Freeze]]:
    """What each client saw, and when it could see nothing, in seconds since the epoch."""
    freezes: list[Freeze] = []
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        for request in scene.requests:
            clients.append(
                clients[-1]
                if request.same_connection
                else stack.enter_context(new_client(base_url=server.url, timeout=30))
            )
        threads = stack.enter_context(ThreadPoolExecutor(len(clients)))
        exchanges: list[Future[Exchange]] = []
        for number, request in enumerate(scene.requests):
            if request.after:
                server.wait_for(request.after, nth=request.nth)
            if request.same_connection:
                exchanges[-1].result()  # or the connection is not free yet
            time.sleep(request.delay)
            if request.frozen:
                freezes.append(_freeze(server, request.frozen))
            sending = threads.submit(_exchange, clients[number], number, request)
            exchanges.append(sending)
        return [exchange.result() for exchange in exchanges], freezes


def _freeze(server: Server, seconds: float) -> Freeze:
    start = time.time()
    with server.frozen():
        time.sleep(seconds)
    return Freeze(start, time.time())


def _exchange(client: httpx.Client, number: int, request: Request) -> Exchange:
    exchange = Exchange(request.method, request.path, time.time(), left=request.leaves)
    try:
        with client.stream(
            request.method,
            request.path,
            json=request.json,
            headers={NUMBER: str(number)},
        ) as response:
            exchange.status = response.status_code
            time.sleep(request.pause)
            body = b"" if request.leaves else response.read()
            short = len(body) < 1000
            exchange.body = body.decode() if short else f"{len(body)} bytes"
    except httpx.TransportError as error:
        exchange.error = type(error).__name__
    exchange.received = time.time()
    return exchange
