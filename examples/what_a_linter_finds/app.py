"""A project in which ruff and mypy find nothing, with the settings beside it."""

import asyncio

from fastapi import BackgroundTasks, Depends, FastAPI

from .dependencies import audit

app = FastAPI()


async def send_receipt(order: int) -> None:
    await asyncio.sleep(0.2)  # stands in for a slow mail server
    print(f"send_receipt: {order}")


@app.post("/orders/{order}", dependencies=[Depends(audit)])
async def create_order(order: int, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt, order)
    return {"message": "Tasks have been queued"}
