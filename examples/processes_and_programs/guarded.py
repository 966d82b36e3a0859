"""Run it with `python`, with the guard and without: a spawned process imports this file again."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context

import uvicorn
from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(1, get_context("spawn")) as app.state.pool:
        app.state.pool.submit(os.getpid)  # starts the process before it is needed
        yield


app = FastAPI(lifespan=lifespan)


async def publish_forecast(year: int) -> None:
    loop = asyncio.get_running_loop()
    total = await loop.run_in_executor(app.state.pool, sum, range(year))
    print(f"publish_forecast: {total}")


@app.post("/forecasts", status_code=202)
async def create_forecast(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(publish_forecast, 2027)
    return {"message": "Task has been queued"}


if __name__ == "__main__":
    uvicorn.run(app)
