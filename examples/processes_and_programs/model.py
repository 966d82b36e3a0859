"""A model in a thread: one that computes in C lets other requests through, or stops them all."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import BackgroundTasks, FastAPI, Path

Size = Annotated[int, Path(ge=1, le=5000)]
one_at_a_time = CapacityLimiter(1)


def load_model() -> bytes:
    print(f"load_model: in process {os.getpid()}")
    return b"weights"  # stands in for gigabytes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = load_model()
    yield


app = FastAPI(lifespan=lifespan)


def predict_in_c(size: int) -> None:
    print("predict: started")
    hashlib.pbkdf2_hmac("sha256", app.state.model, b"tea", size * 25_000)
    print("predict: done")


def predict_in_python(size: int) -> None:
    print("predict: started")
    sum(number * number for number in range(size * 150_000))
    print("predict: done")


def predict_and_keep_the_lock(size: int) -> None:
    print("predict: started")
    sum(range(size * 500_000))
    print("predict: done")


async def predict_one_at_a_time(size: int) -> None:
    await to_thread.run_sync(predict_in_c, size, limiter=one_at_a_time)


@app.post("/in-c/{size}")
async def in_c(size: Size, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(predict_in_c, size)
    return {"message": "Task has been queued"}


@app.post("/in-python/{size}")
async def in_python(size: Size, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(predict_in_python, size)
    return {"message": "Task has been queued"}


@app.post("/keeps-the-lock/{size}")
async def keeps_the_lock(size: Size, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(predict_and_keep_the_lock, size)
    return {"message": "Task has been queued"}


@app.post("/one-at-a-time/{size}")
async def one_after_another(size: Size, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(predict_one_at_a_time, size)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
