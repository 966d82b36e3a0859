"""How many tasks run, and how long the longest of each kind took: ask before you deploy."""

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Annotated, ParamSpec

from fastapi import BackgroundTasks, FastAPI, Path
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
P = ParamSpec("P")
running: Counter[str] = Counter()
longest: defaultdict[str, float] = defaultdict(float)


async def timed(
    task: Callable[P, Awaitable[None] | None], *args: P.args, **kwargs: P.kwargs
) -> None:
    name, begin = task.__name__, time.monotonic()
    running[name] += 1
    try:
        if iscoroutinefunction(task):
            await task(*args, **kwargs)
        else:
            await run_in_threadpool(task, *args, **kwargs)
    finally:
        running[name] -= 1
        longest[name] = max(longest[name], time.monotonic() - begin)


def build_report(seconds: float) -> None:
    time.sleep(seconds)
    print("build_report: done")


@app.post("/reports/{seconds}")
async def create_report(
    seconds: Annotated[float, Path(ge=0, le=60)], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(timed, build_report, seconds)
    return {"message": "Task has been queued"}


@app.get("/tasks")
async def read_tasks() -> dict[str, dict[str, int] | dict[str, float]]:
    return {"running": dict(running), "longest": dict(longest)}
