"""A pool that is replaced when its process is killed, and that ends with the server."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import get_context, parent_process
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path


def prepare_process() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides when to end
    threading.Thread(target=end_with_the_server, daemon=True).start()


def end_with_the_server() -> None:
    if server := parent_process():
        server.join()
    os._exit(1)


def create_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), prepare_process)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = create_pool()
    yield
    app.state.pool.shutdown()


app = FastAPI(lifespan=lifespan)


def compute_forecast(year: int) -> int:
    if year == 1984:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
    total = sum(number % year for number in range(3_000_000))
    print(f"compute_forecast: {year} done in process {os.getpid()}", flush=True)
    return total


async def publish_forecast(year: int) -> None:
    pool: ProcessPoolExecutor = app.state.pool
    try:
        loop = asyncio.get_running_loop()
        total = await loop.run_in_executor(pool, compute_forecast, year)
        print(f"publish_forecast: {total} for {year}")
    except BrokenProcessPool:
        print(f"publish_forecast: {year} lost, the process was killed")
        if app.state.pool is pool:
            app.state.pool = create_pool()


@app.post("/forecasts/{year}", status_code=202)
async def create_forecast(
    year: Annotated[int, Path(ge=1900, le=2100)], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(publish_forecast, year)
    return {"message": "Task has been queued"}
