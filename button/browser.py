"""Performs a scene in a reader's browser, under Pyodide in a Web Worker.

A browser gives Python one thread, no sockets and one process. The app is called by
hand as a server would call it. A function that anyio would run in a worker thread runs
in this one, and `time.sleep` in it lets everything else go on meanwhile, as a thread
would (where the browser has no stack switching, by a twin of the function: see
`button.twins`); everywhere else `time.sleep` blocks, as it does under a server.
"""

import ast
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
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import unquote

import anyio.to_thread
import js
from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter
from fastapi import APIRouter, FastAPI
from pyodide.ffi import run_sync

from button import script
from button.hints import hints, limits
from button.script import Send, Sleep, Step, WaitFor
from button.twins import in_thread, names, with_twins
from recording.figure import draw
from recording.model import Exchange, Request, Run
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

STACK_SWITCHING = hasattr(js.WebAssembly, "Suspending")
"""Whether the browser can stop a function in its middle, and go on with others."""

_THREADS = 40
"""How many anyio has, as long as an app does not ask for another number."""

_LOOKS = 0.005
"""Seconds after which a client that waits for a line looks again."""

_in_thread = ContextVar("in_thread", default=False)
_main_thread = threading.current_thread
_block = getattr(time.sleep, "__wrapped__", time.sleep)
"""As Pyodide replaces it, `time.sleep` lets others go on meanwhile, also on the event loop."""
_output = sys.stdout


def _sleep(seconds: float) -> None:
    if STACK_SWITCHING and _in_thread.get():
        run_sync(asyncio.sleep(seconds))
    else:
        _block(seconds)


def _current_thread() -> Any:
    worker = SimpleNamespace(name="AnyIO worker thread")
    return worker if _in_thread.get() else _main_thread()


async def _run_in_thread(
    function: Callable[..., Any],
    *args: Any,
    limiter: CapacityLimiter | None = None,
    **_: Any,
) -> Any:
    async with limiter or current_default_thread_limiter():
        token = _in_thread.set(True)
        try:
            return await in_thread(function, *args)
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
        self._lines: list[tuple[float, str]] = []
        self._begin = 0.0

    def post(self, kind: str, **data: Any) -> None:
        self._post(json.dumps({"type": kind, **data}))

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if event.kind == "print":
            self.output(event.text)

    def output(self, line: str) -> None:
        """Show a line of what the server prints, or of what a client sees."""
        self._lines.append((time.time(), line))
        self.post("output", text=line)

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

    async def perform(self, app: Any, steps: list[Step]) -> None:
        """Do them one after another; return when all tasks are over.

        The client of a server is a process of its own: a request is sent when its turn
        has come, also where this loop is blocked and cannot send it yet.
        """
        sent = []
        async with app.router.lifespan_context(app) as state:
            turn = time.time()
            for step in steps:
                match step:
                    case Sleep(seconds):
                        turn += seconds
                        await asyncio.sleep(turn - time.time())
                    case WaitFor(pattern, nth):
                        while not (when := self._printed(pattern, nth)):
                            await asyncio.sleep(_LOOKS)
                        turn = max(turn, when + _LOOKS)
                    case Send(request, waits):
                        answered = asyncio.get_running_loop().create_future()
                        sending = self.send(app, state, request, turn, answered)
                        sent.append(asyncio.ensure_future(sending))
                        if waits:
                            turn = await answered
            await asyncio.gather(*sent)

    def _printed(self, pattern: str, nth: int) -> float | None:
        """When a line with it was there for the `nth` time."""
        times = [when for when, line in self._lines if re.search(pattern, line)]
        return times[nth - 1] if len(times) >= nth else None

    async def send(
        self,
        app: Any,
        state: Any,
        request: Request,
        sent: float,
        answered: asyncio.Future[float],
    ) -> None:
        """Send one request; return when its tasks are over."""
        self._begin = self._begin or sent
        exchange = Exchange(request.method, request.path, since(self._begin, sent))
        self.exchanges.append(exchange)
        body = request.body if request.json is None else json.dumps(request.json)
        messages = [{"type": "http.request", "body": body.encode()}]

        def answer() -> None:
            if not answered.done():
                answered.set_result(time.time())

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await asyncio.Event().wait()
            raise AssertionError("nobody disconnects")

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                return
            exchange.body += message.get("body", b"").decode(errors="replace")
            if not message.get("more_body"):
                exchange.received = exchange.handed_over = self.now()
                what = f"{exchange.method} {exchange.path} → {exchange.status}"
                self.output(f"{what} {exchange.body}")
                answer()

        try:
            await app({**_scope(request), "state": dict(state or {})}, receive, send)
        except BaseException as error:
            self.output(_last_lines(error))
        finally:
            answer()


class _NoApp(Exception):
    """There is no `app` in the code: what to write."""


def _app_of(module: ModuleType) -> Any:
    if app := vars(module).get("app"):
        return app
    for name, value in vars(module).items():
        if isinstance(value, FastAPI):
            raise _NoApp(f"There is no app: add app = {name}")
        if isinstance(value, APIRouter):
            also = f"app.include_router({name})"
            raise _NoApp(f"There is no app: add app = FastAPI() and {also}")
    raise _NoApp("There is no app: add app = FastAPI()")


def _scope(request: Request) -> dict[str, Any]:
    path, _, query = request.path.partition("?")
    headers = [("Host", "127.0.0.1:8000"), *request.headers]
    if request.json is not None:
        headers.append(script.JSON)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers
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


def check(source: str, post: Post) -> None:
    """Read the code and run nothing. Posts ``hints``: what goes wrong, and what cannot be run here."""
    found = [*hints(source), *limits(source, lambda name: find_spec(name) is not None)]
    post(json.dumps({"type": "hints", "hints": [asdict(hint) for hint in found]}))


def shell(requests: str, post: Post) -> None:
    """Post ``shell``, with the requests as a script for curl, or ``failed``."""
    try:
        post(json.dumps({"type": "shell", "text": script.shell(requests)}))
    except script.ScriptError as error:
        post(json.dumps({"type": "failed", "text": str(error)}))


async def perform(source: str, requests: str, post: Post) -> None:
    """Run an example's source and the lines of its requests, as `button.script` reads them.

    Posts JSON: ``output`` and ``figure`` while it runs, then ``done`` with the `Run`,
    or ``failed`` with the last lines of Python's traceback.
    """
    performance = _Performance(post)
    current_default_thread_limiter().total_tokens = _THREADS
    watch_output(performance.emit)
    drawing = asyncio.ensure_future(performance.draw_while_running())
    try:
        steps = script.parse(requests)
        module = ModuleType("main")
        module.__file__ = "main.py"
        tree = ast.parse(source, "main.py")
        if not STACK_SWITCHING:
            tree = with_twins(tree)
            vars(module).update(names(asyncio.sleep))
        where = lambda: THREAD_POOL if _in_thread.get() else EVENT_LOOP  # noqa: E731
        execute(tree, module, performance.emit, where)
        await performance.perform(_app_of(module), steps)
        run = performance.run()
        performance.post("figure", svg=draw(run))
        performance.post("done", run=asdict(run))
    except (script.ScriptError, _NoApp) as error:
        performance.post("failed", text=str(error))
    except BaseException as error:
        performance.post("failed", text=_last_lines(error))
    finally:
        drawing.cancel()
        sys.stdout = _output
