"""Performs a scene in a reader's browser, under Pyodide in a Web Worker.

A browser gives Python one thread, no sockets and one process. The app is called by
hand as a server would call it. A function that anyio would run in a worker thread runs
in this one, and `time.sleep` in it lets everything else go on meanwhile, as a thread
would; everywhere else `time.sleep` blocks, as it does under a server.
"""

import asyncio
import json
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio.to_thread
from pyodide.ffi import run_sync

from recording.figure import draw
from recording.model import Exchange, Request, Run, read
from recording.watching import (
    EVENT_LOOP,
    THREAD_POOL,
    Event,
    calls,
    execute,
    printed,
    since,
    watch_output,
)

Post = Callable[[str], None]

_in_thread = ContextVar("in_thread", default=False)
_main_thread, _block = threading.current_thread, time.sleep
_output = sys.stdout


def _sleep(seconds: float) -> None:
    if _in_thread.get():
        run_sync(asyncio.sleep(seconds))
    else:
        _block(seconds)


def _current_thread() -> Any:
    worker = SimpleNamespace(name="AnyIO worker thread")
    return worker if _in_thread.get() else _main_thread()


async def _run_in_thread(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
    token = _in_thread.set(True)
    try:
        return function(*args)
    finally:
        _in_thread.reset(token)


time.sleep = _sleep  # type: ignore[assignment]
threading.current_thread = _current_thread
anyio.to_thread.run_sync = _run_in_thread  # type: ignore[assignment]


class _Performance:
    """A scene while it is performed: what has happened so far, and whom to tell."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self.events: list[Event] = []
        self.exchanges: list[Exchange] = []
        self._begin = 0.0

    def post(self, kind: str, **data: Any) -> None:
        self._post(json.dumps({"type": kind, **data}))

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if event.kind == "print":
            self.post("output", text=event.text)

    def now(self) -> float:
        """Seconds since the first request was sent."""
        return since(self._begin, time.time())

    def run(self) -> Run:
        """What has happened until now."""
        until = calls(self.events, self._begin, time.time())
        return Run(self.exchanges, until, printed(self.events, self._begin))

    async def draw_while_running(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if self.exchanges:
                self.post("figure", svg=draw(self.run(), self.now()))

    async def send(self, app: Any, request: Request) -> None:
        """Send one request when its time has come; return when its tasks are over."""
        while request.after and request.nth > sum(
            bool(re.search(request.after, event.text)) for event in self.events
        ):
            await asyncio.sleep(0.005)
        await asyncio.sleep(request.delay)
        self._begin = self._begin or time.time()
        exchange = Exchange(request.method, request.path, sent=self.now())
        self.exchanges.append(exchange)
        body = b"" if request.json is None else json.dumps(request.json).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError("nobody disconnects")

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                return
            exchange.body += message.get("body", b"").decode()
            if not message.get("more_body"):
                exchange.received = exchange.handed_over = self.now()
                what = f"{exchange.method} {exchange.path} → {exchange.status}"
                self.post("output", text=f"{what} {exchange.body}")

        await app(_scope(request), receive, send)

    async def send_all(self, app: Any, requests: list[Request]) -> None:
        for ended in await asyncio.gather(
            *(self.send(app, request) for request in requests),
            return_exceptions=True,
        ):
            if isinstance(ended, BaseException):
                self.post("output", text=_last_lines(ended))


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1:8000"),
            (b"content-type", b"application/json"),
        ],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
    }


def _last_lines(error: BaseException) -> str:
    """Python's own words: where in the reader's code, and what."""
    told = traceback.TracebackException.from_exception(error)
    own = [frame for frame in told.stack if frame.filename == "main.py"]
    told.stack = traceback.StackSummary.from_list(own)
    told.__cause__ = told.__context__ = None
    return "".join(told.format()).rstrip()


async def perform(source: str, requests: str, post: Post) -> None:
    """Run an example's source and send its requests (JSON, as those of a `Scene`).

    Posts JSON: ``output`` and ``figure`` while it runs, then ``done`` with the `Run`,
    or ``failed`` with the last lines of Python's traceback.
    """
    performance = _Performance(post)
    watch_output(performance.emit)
    drawing = asyncio.ensure_future(performance.draw_while_running())
    try:
        module = ModuleType("main")
        module.__file__ = "main.py"
        where = lambda: THREAD_POOL if _in_thread.get() else EVENT_LOOP  # noqa: E731
        execute(source, module, performance.emit, where)
        wanted = read(list[Request], json.loads(requests))
        await performance.send_all(module.app, wanted)
        run = performance.run()
        performance.post("figure", svg=draw(run))
        performance.post("done", run=asdict(run))
    except BaseException as error:
        performance.post("failed", text=_last_lines(error))
    finally:
        drawing.cancel()
        sys.stdout = _output
