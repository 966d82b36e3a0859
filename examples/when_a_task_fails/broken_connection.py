"""A task that raises breaks the next request on the same connection."""

import asyncio

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def send_receipt() -> None:
    await asyncio.sleep(1)  # stands in for a slow mail server
    raise ConnectionError("the mail server refused the connection")


async def build_report() -> dict[str, int]:
    await asyncio.sleep(2)  # stands in for a slow query
    return {"rows": 50}


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}


@app.get("/report")
async def read_report() -> dict[str, int]:
    return await build_report()
