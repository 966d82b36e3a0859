"""A worker of `uvicorn --workers` ends when the process that started it is gone."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path


def end(loop: asyncio.AbstractEventLoop, gone: int) -> None:
    loop.remove_reader(gone)
    os.kill(os.getpid(), signal.SIGTERM)  # uvicorn waits for the tasks, and ends


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    first = multiprocessing.parent_process()  # None without --workers or --reload
    if first:  # its sentinel can be read when it has ended; not so on Windows
        loop.add_reader(first.sentinel, end, loop, first.sentinel)
    yield


app = FastAPI(lifespan=lifespan)


async def build_report(number: int) -> None:
    print(f"build_report: {number} started in process {os.getpid()}")
    await asyncio.sleep(2)  # stands in for the queries of a report
    print(f"build_report: {number} done in process {os.getpid()}")


@app.post("/reports/{number}", status_code=202)
async def create_report(
    number: Annotated[int, Path(gt=0, lt=10**6)], tasks: BackgroundTasks
) -> dict[str, int]:
    tasks.add_task(build_report, number)
    return {"process": os.getpid()}
