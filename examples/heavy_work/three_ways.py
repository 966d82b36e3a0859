"""The same computation on the event loop, in a thread, and in a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import TypedDict

from fastapi import BackgroundTasks, FastAPI, Request


class State(TypedDict):
    pool: ProcessPoolExecutor


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


def compute_forecast() -> None:
    print("compute_forecast: started")
    total = sum(number * number for number in range(15_000_000))
    print(f"compute_forecast: done, {total}")


async def compute_on_the_loop() -> None:
    compute_forecast()


async def compute_in_a_process(pool: ProcessPoolExecutor) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, compute_forecast)


@app.post("/async-def")
async def create_on_the_loop(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(compute_on_the_loop)
    return {"message": "Task has been queued"}


@app.post("/def")
async def create_in_a_thread(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(compute_forecast)
    return {"message": "Task has been queued"}


@app.post("/process-pool")
async def create_in_a_process(
    request: Request, tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(compute_in_a_process, request.state.pool)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
