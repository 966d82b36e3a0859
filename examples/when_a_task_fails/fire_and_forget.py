"""The failure of asyncio.create_task is logged when the task is thrown away, if ever."""

import asyncio
import gc

from fastapi import FastAPI

app = FastAPI()
running: set[asyncio.Task[None]] = set()


async def send_receipt() -> None:
    raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
async def create_order() -> dict[str, str]:
    running.add(asyncio.create_task(send_receipt()))
    return {"message": "Task has been started"}


@app.post("/forget")
async def forget() -> dict[str, str]:
    print("forget: called")
    running.clear()
    gc.collect()
    return {"message": "All tasks have been forgotten"}
