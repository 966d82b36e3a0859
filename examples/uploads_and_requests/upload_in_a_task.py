"""A background task reads the uploaded file; a create_task finds it closed."""

import asyncio

from fastapi import BackgroundTasks, FastAPI, UploadFile

app = FastAPI()
running: set[asyncio.Task[None]] = set()


async def count_bytes(photo: UploadFile) -> None:
    await asyncio.sleep(0.2)  # stands in for work before the file is needed
    try:
        print(f"count_bytes: {len(await photo.read())} bytes")
    except ValueError as error:
        print(f"count_bytes: {error}")


@app.post("/background-task")
async def add_task(
    photo: UploadFile, background_tasks: BackgroundTasks
) -> dict[str, str]:
    background_tasks.add_task(count_bytes, photo)
    return {"message": "Task has been queued"}


@app.post("/create-task")
async def create_task(photo: UploadFile) -> dict[str, str]:
    running.add(asyncio.create_task(count_bytes(photo)))
    return {"message": "Task has been started"}
