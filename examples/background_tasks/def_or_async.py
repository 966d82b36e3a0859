"""A def task runs in a worker thread, an async def task on the event loop."""

import asyncio
import threading
import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def resize_avatar() -> None:
    time.sleep(0.5)  # stands in for an image library, which blocks its thread
    print(f"resize_avatar ran in {threading.current_thread().name}")


async def notify_followers() -> None:
    await asyncio.sleep(0.5)  # stands in for an HTTP call with an async client
    print(f"notify_followers ran in {threading.current_thread().name}")


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(resize_avatar)
    background_tasks.add_task(notify_followers)
    return {"message": "Task has been queued"}
