"""Stop this server while one of the three works, and see which says done and which ended."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path

Seconds = Annotated[float, Path(ge=0, le=60)]
held: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    print("lifespan: ended")


app = FastAPI(lifespan=lifespan)


def work_in_a_thread(seconds: float) -> None:
    print(f"work: started in process {os.getpid()}")
    try:
        time.sleep(seconds)
        print("work: done")
    finally:
        print("work: ended")


async def work_on_the_loop(seconds: float) -> None:
    print(f"work: started in process {os.getpid()}")
    try:
        await asyncio.sleep(seconds)
        print("work: done")
    finally:
        print("work: ended")


async def work_and_block_the_loop() -> None:
    work_in_a_thread(6)


@app.post("/def/{seconds}")
async def add_def_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work_in_a_thread, seconds)
    return {"message": "Task has been queued"}


@app.post("/async-def/{seconds}")
async def add_async_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work_on_the_loop, seconds)
    return {"message": "Task has been queued"}


@app.post("/create-task/{seconds}")
async def start_task(seconds: Seconds) -> dict[str, str]:
    held.add(asyncio.create_task(work_on_the_loop(seconds)))
    return {"message": "Task has been started"}


@app.post("/blocking")
async def add_blocking_task(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work_and_block_the_loop)
    return {"message": "Task has been queued"}
