"""A def task runs an async function on the event loop and waits for it."""

import asyncio
import threading
import time

from anyio import from_thread
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def notify(text: str) -> None:
    await asyncio.sleep(0.2)  # stands in for an async client
    print(f"notify ran in {threading.current_thread().name}: {text}")


def make_thumbnail() -> None:
    time.sleep(0.5)  # stands in for an image library, which blocks its thread
    from_thread.run(notify, "thumbnail ready")
    print(f"make_thumbnail ends in {threading.current_thread().name}")


def make_thumbnail_wrongly() -> None:
    asyncio.get_running_loop().create_task(notify("thumbnail ready"))


@app.post("/thumbnail")
async def create_thumbnail(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail)
    background_tasks.add_task(make_thumbnail_wrongly)
    return {"message": "Tasks have been queued"}
