"""A task of create_task that nobody holds is collected as garbage while it waits."""

import asyncio
import gc
from weakref import WeakSet

from fastapi import FastAPI

app = FastAPI()
inboxes: WeakSet[asyncio.Queue[int]] = WeakSet()
kept: set[asyncio.Task[None]] = set()


async def print_labels() -> None:
    inbox: asyncio.Queue[int] = asyncio.Queue()
    inboxes.add(inbox)
    try:
        print(f"print_labels: order {await inbox.get()}")
    finally:
        print("print_labels: ended")


@app.post("/vanishes")
async def vanishes() -> dict[str, str]:
    asyncio.create_task(print_labels())  # noqa: RUF006
    return {"message": "Task has been started"}


@app.post("/kept")
async def keep() -> dict[str, str]:
    task = asyncio.create_task(print_labels())
    kept.add(task)
    task.add_done_callback(kept.discard)
    return {"message": "Task has been started"}


@app.post("/orders/{order_id}")
async def create_order(order_id: int) -> dict[str, int]:
    gc.collect()  # happens by itself in a busy server
    for inbox in inboxes:
        inbox.put_nowait(order_id)
    return {"listeners": len(inboxes)}
