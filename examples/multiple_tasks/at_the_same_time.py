"""One task with a TaskGroup inside runs two functions at the same time."""

import asyncio
import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.concurrency import run_in_threadpool

app = FastAPI()


async def send_welcome_email() -> None:
    print("send_welcome_email: started")
    await asyncio.sleep(1)  # stands in for a slow mail server
    print("send_welcome_email: done")


def create_thumbnail() -> None:
    print("create_thumbnail: started")
    time.sleep(1)  # stands in for an image library, which blocks its thread
    print("create_thumbnail: done")


async def welcome_new_user() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(send_welcome_email())
        group.create_task(run_in_threadpool(create_thumbnail))
    print("welcome_new_user: both done")


@app.post("/multi-task")
async def create_multiple_tasks(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(welcome_new_user)
    return {"message": "Multiple tasks have been queued"}
