"""A limit at module level is for all requests of one process."""

import asyncio
import os

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
one_at_a_time = asyncio.Semaphore(1)


async def print_label() -> None:
    async with one_at_a_time:
        print(f"print_label: started by {os.getpid()}")
        await asyncio.sleep(0.5)  # stands in for a slow printer
        print(f"print_label: done by {os.getpid()}")


@app.post("/labels")
async def create_label(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(print_label)
    return {"message": "Task has been queued"}
