"""Sees from inside a process what an example does, without a change to the example.

Nothing but the standard library: the same file watches an example under uvicorn
and in a reader's browser.
"""

import ast
import functools
import inspect
import itertools
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FunctionType, ModuleType
from typing import Any, TextIO

Event = dict[str, Any]
Emit = Callable[[Event], None]

_numbers = itertools.count()
_LOGGED = re.compile(r"(INFO|WARNING|ERROR): |\d{4}-\d\d-\d\d ")

EVENT_LOOP = "event loop"
THREAD_POOL = "thread pool"
WORKER_PROCESS = "worker process"


def lane() -> str:
    """Where the caller runs: on the event loop, which is in the main thread, or in the pool."""
    in_main = threading.current_thread() is threading.main_thread()
    return EVENT_LOOP if in_main else THREAD_POOL


def run_watched(
    source: str, module: ModuleType, emit: Emit, where: Callable[[], str] = lane
) -> None:
    """Run an example's source in `module`, and report each call of its functions.

    That is every function handed to `add_task` or called by one that was, and every
    generator: dependencies with ``yield`` and streams. A route's own function, which the
    router holds, is not reported. An event has ``kind`` ("start" or "end"), ``id``,
    ``time`` in seconds since the epoch, ``function``, ``lane``, as `where` finds it when
    the call starts, and ``open``, true for a generator, which is open and does not run
    all the time; at the end also ``error``, the exception's class by name or None.
    """
    tree = ast.parse(source)
    for node in tree.body:
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.decorator_list  # a lifespan is not part of any request
        ):
            watch = ast.Name("__watch_generator__", ast.Load())
            node.decorator_list.append(ast.copy_location(watch, node))

    def watch_generator(function: Callable[..., Any]) -> Callable[..., Any]:
        return observed(function, emit, where) if _generates(function) else function

    vars(module)["__watch_generator__"] = watch_generator
    exec(compile(tree, module.__file__ or "main.py", "exec"), vars(module))
    for name, function in list(vars(module).items()):
        if (
            isinstance(function, FunctionType)
            and function.__module__ == module.__name__
            and not _generates(function)
        ):
            setattr(module, name, observed(function, emit, where))


def _generates(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def observed(
    function: Callable[..., Any], emit: Emit, where: Callable[[], str]
) -> Callable[..., Any]:
    """The function, each call of which is reported as `run_watched` says."""

    @contextmanager
    def reported() -> Iterator[None]:
        call: Event = {"function": function.__name__, "lane": where()}
        call["open"] = _generates(function)
        call["id"] = (
            f"{time.perf_counter_ns()}-{next(_numbers)}"  # a clock may be coarse
        )
        name = None
        emit({"kind": "start", "time": time.time(), **call})
        try:
            yield
        except BaseException as error:
            name = type(error).__name__
            raise
        finally:
            emit({"kind": "end", "time": time.time(), "error": name, **call})

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def watched_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with reported():
                yield from function(*args, **kwargs)

        return watched_generator

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def watched_async_generator(
            *args: Any, **kwargs: Any
        ) -> AsyncIterator[Any]:
            items = function(*args, **kwargs)
            with reported(), suppress(StopAsyncIteration):
                item = await anext(items)
                while True:
                    try:
                        yield item
                    except BaseException as error:
                        item = await items.athrow(error)
                    else:
                        item = await anext(items)

        return watched_async_generator

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def watched_async(*args: Any, **kwargs: Any) -> Any:
            with reported():
                return await function(*args, **kwargs)

        return watched_async

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        with reported():
            return function(*args, **kwargs)

    return watched


def calls(events: list[Event], begin: float, now: float | None = None) -> list[Event]:
    """One bar per call, in the order in which they started, in seconds from `begin`.

    A call that has not ended yet ends at `now`.
    """
    ends = {e["id"]: e for e in events if e["kind"] == "end"}
    return [
        {
            "function": e["function"],
            "lane": e["lane"],
            "open": e["open"],
            "start": since(begin, e["time"]),
            "end": since(begin, ends.get(e["id"], {"time": now})["time"]),
            "error": ends.get(e["id"], {"error": None})["error"],
        }
        for e in events
        if e["kind"] == "start"
    ]


def printed(events: list[Event], begin: float) -> list[Event]:
    """The lines that the example printed; the server's log is not among them."""
    return [
        {"time": since(begin, e["time"]), "text": e["text"]}
        for e in events
        if e["kind"] == "print" and not _LOGGED.match(e["text"])
    ]


def since(begin: float, moment: float) -> float:
    """Seconds from `begin` to `moment`, to a tenth of a millisecond."""
    return round(moment - begin, 4)


class WatchedOutput:
    """Standard output that reports each line, and still prints it."""

    def __init__(self, output: TextIO, emit: Emit) -> None:
        self._output = output
        self._emit = emit
        self._line = ""

    def write(self, text: str) -> int:
        """Print, and report what has become whole lines: ``kind`` "print", ``text``."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._emit({"kind": "print", "time": time.time(), "text": line})
        return self._output.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def watch_output(emit: Emit) -> None:
    """Report each line printed to standard output from now on."""
    sys.stdout = WatchedOutput(sys.stdout, emit)
