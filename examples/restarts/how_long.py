"""How many tasks run, and how long the longest of each kind took: ask before you deploy."""

import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Annotated, ParamSpec

from fastapi import BackgroundTasks, FastAPI, Path
from starlette.background import BackgroundTask

app = FastAPI()
P = ParamSpec("P")
running: Counter[str] = Counter()
longest: defaultdict[str, float] = defaultdict(float)


async def timed(
    task: Callable[P, Awaitable[None] | None], *args: P.args, **kwargs: P.kwargs
) -> None:
    name, begin = getattr(task, "__name__", repr(task)), time.monotonic()
    running[name] += 1
    try:
        await BackgroundTask(task, *args, **kwargs)()  # as add_task would run it
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
