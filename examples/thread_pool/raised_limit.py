"""The limit of the thread pool is raised to 100 when the app starts."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 100
    yield


app = FastAPI(lifespan=lifespan)


def make_thumbnail() -> None:
    time.sleep(10)  # stands in for an image library, which blocks its thread


@app.post("/thumbnail")
async def create_thumbnail(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail)
    return {"message": "Task has been queued"}


@app.get("/threads")
async def read_threads() -> dict[str, int]:
    pool = current_default_thread_limiter().statistics()
    return {
        "limit": int(pool.total_tokens),
        "at_work": pool.borrowed_tokens,
        "waiting": pool.tasks_waiting,
    }
