"""Performs a scene under a real uvicorn, and says what happened."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from pathlib import Path

import httpx

from recording.model import (
    Exchange,
    Freeze,
    MadeWith,
    Recording,
    Run,
    Scene,
)
from recording.watching import calls, events_in, handed_over, printed, since
from runner import staging
from runner.clients import exchange, new_client
from runner.needs import needs_of
from runner.process import FAILURES, PYTHON, ROOT, Server, start
from runner.staging import Place, place_of, target_of


def perform(scene: Scene, place: Place | None = None) -> Recording:
    """Run a scene once, in that place, or in one made for it.

    Raises `Missing` where the server that it needs is not installed.
    """
    packages = ["fastapi", "starlette", "uvicorn"]
    needs = needs_of(target_of(scene))
    with nullcontext(place) if place else place_of(scene) as where:
        if not scene.processes:
            made_with = MadeWith.here(*packages)
            run = _perform_alone(scene, where.env)
            return Recording(scene, made_with, run, source_of(scene))
        run = staging.perform(scene, where)
    made_with = MadeWith.here(*packages[::2])
    made_with.versions |= needs.versions()
    return Recording(scene, made_with, run, source_of(scene))


def _perform_alone(scene: Scene, settings: Mapping[str, str]) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder, "events")
        events.touch()
        command = (*PYTHON, "runner.watched", target_of(scene))
        with start(command, env={**settings, "EVENTS": str(events)}) as server:
            server.expect(FAILURES)  # which the figure shows
            if scene.warns:
                server.expect(scene.warns)
            exchanges, freezes = _send(scene, server)
            if scene.until:
                server.wait_for(scene.until, nth=scene.nth)
            server.stop(timeout=30)  # uvicorn waits for running tasks
        seen = events_in(events)
    begin = exchanges[0].sent
    handed = handed_over(seen, begin)
    for number, each in enumerate(exchanges):
        each.sent = since(begin, each.sent)
        each.received = since(begin, each.received or 0)
        each.handed_over = handed[number]
    freezes = [Freeze(since(begin, f.start), since(begin, f.end)) for f in freezes]
    return Run(exchanges, calls(seen, begin), printed(seen, begin), freezes)


def source_of(scene: Scene) -> str:
    """What tells whether its examples have changed: the SHA-256 of the files, in 16 digits."""
    project: list[Path] = []
    for example in (scene.example, *dict(scene.others).values()):
        file = ROOT / "examples" / f"{example}.py"
        project += sorted(file.parent.glob("*.py")) if file.stem == "app" else [file]
    source = b"".join(each.read_bytes() for each in project)
    return hashlib.sha256(source).hexdigest()[:16]


def _send(scene: Scene, server: Server) -> tuple[list[Exchange], list[Freeze]]:
    """What each client saw, and when it could see nothing, in seconds since the epoch."""
    freezes: list[Freeze] = []
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        for request in scene.requests:
            clients.append(
                clients[-1]
                if request.same_connection
                else stack.enter_context(new_client(base_url=server.url))
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
            sending = threads.submit(exchange, clients[number], number, request)
            exchanges.append(sending)
        return [exchange.result() for exchange in exchanges], freezes


def _freeze(server: Server, seconds: float) -> Freeze:
    start = time.time()
    with server.frozen():
        time.sleep(seconds)
    return Freeze(start, time.time())
