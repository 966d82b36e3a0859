"""Slow def tasks fill the thread pool, and whatever else needs a thread waits."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, Depends, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 4  # without this line: 40
    yield


app = FastAPI(lifespan=lifespan)


def make_thumbnail() -> None:
    print("make_thumbnail: started")
    time.sleep(2)  # stands in for an image library
    print("make_thumbnail: done")


@app.post("/thumbnail")
async def create_thumbnail(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail)
    return {"message": "Task has been queued"}


@app.get("/def")
def read_user() -> str:
    return "ada"


@app.get("/async-def")
async def read_item() -> str:
    return "tea"


@app.get("/async-def-with-a-def-dependency")
async def read_order(user: Annotated[str, Depends(read_user)]) -> str:
    return f"{user}: tea"
