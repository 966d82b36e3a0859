"""A thread that AnyIO did not start needs a token, or the loop; on the loop that waits for itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio import from_thread
from anyio.lowlevel import current_token
from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.token = current_token()
    app.state.loop = asyncio.get_running_loop()
    yield


app = FastAPI(lifespan=lifespan)


async def save_reading() -> str:
    await asyncio.sleep(0.1)  # stands in for an async database
    return "saved"


def without_token() -> str:
    return from_thread.run(save_reading)


def with_token() -> str:
    return from_thread.run(save_reading, token=app.state.token)


def with_the_loop() -> str:
    saving = asyncio.run_coroutine_threadsafe(save_reading(), app.state.loop)
    return saving.result(timeout=2)


WAYS = (without_token, with_token, with_the_loop)


def read_sensor(way: Callable[[], str]) -> None:
    try:
        print(f"{way.__name__}: {way()}")
    except Exception as error:
        print(f"{way.__name__}: {type(error).__name__}")


async def read_sensor_on_the_loop() -> None:
    read_sensor(with_the_loop)


@app.post("/readings")
async def start_threads() -> str:
    for way in WAYS:
        threading.Thread(target=read_sensor, args=(way,)).start()
    return "started"


@app.post("/readings-on-the-loop")
async def wait_on_the_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(read_sensor_on_the_loop)
    return "queued"


@app.get("/ping")
async def ping() -> str:
    return "pong"
