"""Sees from inside a process what an example does, without a change to the example.

To watch is to report events. The same file watches an example under uvicorn and in a
reader's browser.
"""

import ast
import functools
import inspect
import itertools
import json
import os
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TextIO

from recording.model import Call, Printed, read

CLIENT_WAITS = "client waits"
EVENT_LOOP = "event loop"
THREAD_POOL = "thread pool"
WORKER_PROCESS = "worker process"
LANES = (CLIENT_WAITS, EVENT_LOOP, THREAD_POOL, WORKER_PROCESS)
"""Where something happens: the lanes of a figure, from the top."""

TWIN = "__twin__"
"""The attribute of a function that holds what is called in its place, watched as it is."""

NUMBER = "scene-request"
"""The header with the number of a scene's request. The app does not see it."""


@dataclass(frozen=True)
class Event:
    """Something that happened in a watched process."""

    kind: str
    """"start" and "end" of a call, "print", "handed over": a whole response, "queued": a job
    was given to a queue, or "rolled back": the transaction was, in which that was done."""
    time: float
    """Seconds since the epoch."""
    id: str = ""
    """Of a call: the same at its end as at its start."""
    function: str = ""
    lane: str = ""
    """Where a call runs when it starts: one of `LANES`."""
    open: bool = False
    """Whether the call is of a generator, which is open and does not run all the time."""
    error: str | None = None
    """At the end of a call: the class of the exception that ended it."""
    text: str = ""
    """Of a printed line."""
    number: int = 0
    """Of the request that the response is to."""
    job: str = ""
    """Of a call, or of what was queued: see `job_of`."""
    process: str = ""
    """In a scene of several: where it happened."""
    pid: int = 0
    """Of that process, or of a child of it."""


Emit = Callable[[Event], None]

_numbers = itertools.count()
_JOBS = ("task", "actor", "step", "workflow")
_LOGGED = re.compile(r"(INFO|WARNING|ERROR): |\d{4}-\d\d-\d\d ")


def lane() -> str:
    """Where the caller runs: on the event loop, which is in the main thread, or in the pool."""
    in_main = threading.current_thread() is threading.main_thread()
    return EVENT_LOOP if in_main else THREAD_POOL


def job_of(function: str, *arguments: Any) -> str:
    """What is the same for each attempt at a job: its function and its plain arguments."""
    plain = [str(a) for a in arguments if isinstance(a, str | int | float)]
    return f"{function}({', '.join(plain)})"


def execute(
    tree: ast.Module,
    module: ModuleType,
    emit: Emit,
    where: Callable[[], str] = lane,
) -> None:
    """Run an example in `module`, and watch its functions from then on.

    That is every function handed to `add_task` or called by one that was, every job of a
    queue, and every generator: dependencies with ``yield`` and streams. A route's own
    function, which the router holds, is not watched. `where` says in which lane a call
    starts.
    """
    named = _functions_of_a_worker(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_job = node.name in named or any(map(_makes_a_job, node.decorator_list))
            if (
                is_job or not node.decorator_list
            ):  # a lifespan is not part of any request
                name = "__watch__" if is_job else "__watch_generator__"
                decorator = ast.Name(name, ast.Load())
                node.decorator_list.append(ast.copy_location(decorator, node))

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        return watched(function, emit, where)

    def watch_generator(function: Callable[..., Any]) -> Callable[..., Any]:
        return watch(function) if _generates(function) else function

    vars(module)["__watch__"] = watch
    vars(module)["__watch_generator__"] = watch_generator
    exec(compile(tree, module.__file__ or "main.py", "exec"), vars(module))
    for name, function in list(vars(module).items()):
        if (
            isinstance(function, FunctionType)
            and function.__module__ == module.__name__
            and not _generates(function)
            and not hasattr(function, "__watched__")
        ):
            setattr(module, name, watch(function))


def _makes_a_job(decorator: ast.expr) -> bool:
    """Whether it is one such as ``@queue.task`` or ``@dramatiq.actor(max_retries=2)``."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr in _JOBS


def _functions_of_a_worker(tree: ast.Module) -> set[str]:
    """The names in arq's ``functions = (...)``, which holds the functions themselves."""
    return {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "functions" for t in node.targets)
        for name in ast.walk(node.value)
        if isinstance(name, ast.Name)
    }


def _generates(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def watched(
    function: Callable[..., Any], emit: Emit, where: Callable[[], str]
) -> Callable[..., Any]:
    """The function, each call of which is reported."""

    @contextmanager
    def reported(*arguments: Any) -> Iterator[None]:
        start = Event(
            kind="start",
            time=time.time(),
            id=f"{time.perf_counter_ns()}-{next(_numbers)}",  # a clock may be coarse
            function=function.__name__,
            lane=where(),
            open=_generates(function),
            job=job_of(function.__name__, *arguments),
        )
        name = None
        emit(start)
        try:
            yield
        except BaseException as error:
            name = type(error).__name__
            raise
        finally:
            emit(replace(start, kind="end", time=time.time(), error=name))

    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def call_generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with reported():
                yield from function(*args, **kwargs)

        return call_generator

    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def call_async_generator(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
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

        return call_async_generator

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with reported(*args, *kwargs.values()):
                return await function(*args, **kwargs)

        vars(call_async)["__watched__"] = True
        return call_async

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with reported(*args, *kwargs.values()):
            return function(*args, **kwargs)

    vars(call)["__watched__"] = True
    if twin := getattr(function, TWIN, None):
        vars(call)[TWIN] = watched(twin, emit, where)
    return call


def appending(file: str, process: str = "") -> Emit:
    """What appends each event to that file; threads and processes may do so at once."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)  # open to the end

    def append(event: Event) -> None:
        here = replace(event, process=process, pid=os.getpid())
        os.write(descriptor, json.dumps(asdict(here)).encode() + b"\n")

    return append


def events_in(file: Path) -> list[Event]:
    """What watched processes have appended to that file, a line of JSON each.

    A line that is being written, perhaps across two pages of memory, is not there yet.
    """
    lines = file.read_text().split("\n")[:-1]
    return [read(Event, json.loads(line)) for line in lines]


def calls(
    events: list[Event],
    begin: float,
    now: float | None = None,
    killed: Mapping[int, float] | None = None,
) -> list[Call]:
    """One for each that started after `begin`, in that order, in seconds from then.

    A call that has not ended yet ends at `now`, or when its process was `killed`; the
    processes are named by their numbers.
    """
    ends = {event.id: event for event in events if event.kind == "end"}
    found = []
    for event in events:
        if event.kind == "start" and event.time >= begin:
            end = ends.get(event.id)
            kill = (killed or {}).get(event.pid)
            ended = end.time if end else kill or now
            assert ended is not None, f"{event.function} has not ended"
            call = Call(
                function=event.function,
                lane=event.lane,
                open=event.open,
                start=since(begin, event.time),
                end=since(begin, ended),
                error=end.error if end else None,
                process=event.process,
                job=event.job if event.process else "",
                torn=not end and kill is not None,
            )
            found.append(call)
    return found


def printed(events: list[Event], begin: float) -> list[Printed]:
    """The lines that the example printed after `begin`, less those of the server's log."""
    return [
        Printed(since(begin, event.time), event.text)
        for event in events
        if event.kind == "print"
        and event.time >= begin
        and not _LOGGED.match(event.text)
    ]


def handed_over(events: list[Event], begin: float) -> dict[int, float]:
    """When the response to each request, by its number, had been handed over."""
    return {
        event.number: since(begin, event.time)
        for event in events
        if event.kind == "handed over"
    }


def since(begin: float, moment: float) -> float:
    """Seconds from `begin` to `moment`, to a tenth of a millisecond."""
    return round(moment - begin, 4)


class WatchedApp:
    """An ASGI app that reports when it has handed over a response, or given up."""

    def __init__(self, app: Any, emit: Emit) -> None:
        self._app = app
        self._emit = emit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Be the app. What has no number is not reported."""
        headers = dict(scope.get("headers", ()))
        number = headers.pop(NUMBER.encode(), None)
        if number is None:
            await self._app(scope, receive, send)
            return
        reported = False

        def report() -> None:
            nonlocal reported
            if not reported:
                reported = True
                self._emit(Event("handed over", time.time(), number=int(number)))

        async def send_and_report(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                report()

        try:
            rest = [pair for pair in scope["headers"] if pair[0] != NUMBER.encode()]
            await self._app({**scope, "headers": rest}, receive, send_and_report)
        finally:
            report()


class WatchedOutput:
    """Standard output that reports each line, and still prints it."""

    def __init__(self, output: TextIO, emit: Emit) -> None:
        self._output = output
        self._emit = emit
        self._line = ""

    def write(self, text: str) -> int:
        """Print, and report what has become whole lines."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._emit(Event("print", time.time(), text=line))
        return self._output.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)


def watch_output(emit: Emit) -> None:
    """Report each line printed to standard output from now on."""
    sys.stdout = WatchedOutput(sys.stdout, emit)
