"""Watches the examples in whatever Python process imports them: app, worker, child.

Python imports this file at its start where the folder is on PYTHONPATH. Events of
`recording.watching` are appended, one per line, to the file that EVENTS names; PROCESS
names the process in them. Processes that it starts, by fork or anew, are watched too.
"""

import ast
import asyncio
import functools
import inspect
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from recording.watching import (
    EVENT_LOOP,
    THREAD_POOL,
    WORKER_PROCESS,
    Event,
    appending,
    execute,
    job_of,
)

_EXAMPLES = "examples."
emit = appending(os.environ["EVENTS"], os.environ["PROCESS"])


def where() -> str:
    """The lane of the caller: a worker may have neither event loop nor pool."""
    if asyncio._get_running_loop():
        return EVENT_LOOP
    in_main = threading.current_thread() is threading.main_thread()
    return WORKER_PROCESS if in_main else THREAD_POOL


class Loader(SourceFileLoader):
    """Runs an example so that its functions are watched."""

    def exec_module(self, module: ModuleType) -> None:
        """Run it; what places jobs in its queue is watched then, too."""
        source = self.get_data(self.path).decode()
        execute(ast.parse(source), module, emit, where)
        _watch_the_queue()
        _watch_the_transactions()


class Finder:
    """Finds examples; everything else is found as ever."""

    @staticmethod
    def find_spec(
        name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As `sys.meta_path` wants it."""
        if not name.startswith(_EXAMPLES):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(name, spec.loader.path)
        return spec


_Names = Callable[..., tuple[str, tuple[Any, ...]]]
"""From the arguments of what places a job: its function's name, and its arguments."""

_PLACES: dict[tuple[str, str, str], _Names] = {
    ("taskiq.kicker", "AsyncKicker", "kiq"): (
        lambda kicker, *args, **kwargs: (
            kicker.task_name,
            (*args, *kwargs.values()),
        )
    ),
    ("celery.app.task", "Task", "apply_async"): (
        lambda task, args=(), kwargs=None, **_: (
            task.name,
            (*(args or ()), *(kwargs or {}).values()),
        )
    ),
    ("arq.connections", "ArqRedis", "enqueue_job"): (
        lambda pool, function, *args, **kwargs: (
            function,
            (*args, *(v for k, v in kwargs.items() if k[0] != "_")),
        )
    ),
    ("dramatiq.actor", "Actor", "send_with_options"): (
        lambda actor, *, args=(), kwargs=None, **_: (
            actor.actor_name,
            (*args, *(kwargs or {}).values()),
        )
    ),
    ("rq.queue", "Queue", "enqueue_job"): (
        lambda queue, job, *_, **__: (
            job.func_name,
            (*job.args, *job.kwargs.values()),
        )
    ),
    ("procrastinate.jobs", "JobDeferrer", "defer_async"): (
        lambda deferrer, **kwargs: (deferrer.job.task_name, (*kwargs.values(),))
    ),
}
"""By module, class and method: what places a job in a queue."""


_in_transactions: dict[int, list[str]] = defaultdict(list)
"""The jobs that were placed in the open transaction of a connection, by its id."""


def _watch_the_transactions() -> None:
    connection = getattr(sys.modules.get("psycopg"), "AsyncConnection", None)
    if connection and not hasattr(connection.commit, "__watched__"):
        connection.commit = _ending(connection.commit, "")
        connection.rollback = _ending(connection.rollback, "rolled back")


def _ending(method: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """The method, which reports what has become of the jobs, if there is a kind of that."""

    @functools.wraps(method)
    async def end(connection: Any) -> None:
        await method(connection)
        for job in _in_transactions.pop(id(connection), []):
            if kind:
                emit(Event(kind, time.time(), job=job))

    vars(end)["__watched__"] = True
    return end


def _watch_the_queue() -> None:
    for (module, owner, method), names in _PLACES.items():
        if module not in sys.modules:
            continue
        cls = getattr(sys.modules[module], owner, None)
        if cls and not hasattr(getattr(cls, method), "__watched__"):
            setattr(cls, method, _placing(getattr(cls, method), names))


def _placing(method: Callable[..., Any], names: _Names) -> Callable[..., Any]:
    """The method, which reports what it has placed; not what the queue has refused."""

    def queued(begin: float, *args: Any, **kwargs: Any) -> None:
        function, arguments = names(*args, **kwargs)
        name = function.replace(":", ".").rpartition(".")[2]
        job = job_of(name, *arguments)
        emit(Event("queued", begin, job=job))
        if connection := getattr(args[0], "connection", None):
            _in_transactions[id(connection)].append(job)

    @functools.wraps(method)
    def place(*args: Any, **kwargs: Any) -> Any:
        begin = time.time()
        result = method(*args, **kwargs)
        queued(begin, *args, **kwargs)
        return result

    @functools.wraps(method)
    async def place_async(*args: Any, **kwargs: Any) -> Any:
        begin = time.time()
        result = await method(*args, **kwargs)
        queued(begin, *args, **kwargs)
        return result

    watched = place_async if inspect.iscoroutinefunction(method) else place
    vars(watched)["__watched__"] = True
    return watched


sys.meta_path.insert(0, Finder)
