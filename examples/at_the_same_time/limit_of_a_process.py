"""A limit at module level is for all requests of one process."""

import asyncio
import os

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
one_at_a_time = asyncio.Semaphore(1)


async def print_label(number: int) -> None:
    async with one_at_a_time:
        print(f"print_label: {number} started by {os.getpid()}")
        await asyncio.sleep(0.5)  # stands in for a slow printer
        print(f"print_label: {number} done by {os.getpid()}")


@app.post("/labels/{number}")
async def create_label(number: int, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(print_label, number)
    return {"message": "Task has been queued"}
