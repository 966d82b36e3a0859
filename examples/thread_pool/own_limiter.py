"""Thumbnails have two threads of their own; the shared pool stays free."""

import time

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
thumbnail_threads = CapacityLimiter(2)


def resize_image(number: int) -> None:
    print(f"thumbnail {number}: started")
    time.sleep(2)  # stands in for an image library, which blocks its thread
    print(f"thumbnail {number}: done")


async def make_thumbnail(number: int) -> None:
    await run_sync(resize_image, number, limiter=thumbnail_threads)


@app.post("/thumbnails/{number}")
async def create_thumbnail(
    number: int, background_tasks: BackgroundTasks
) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail, number)
    return {"message": "Task has been queued"}


@app.get("/def")
def read_user() -> str:
    return "ada"
