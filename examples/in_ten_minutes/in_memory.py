"""A timer in the app can be cancelled and moved; a restart forgets it."""

import asyncio
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Query

OrderId = Annotated[int, Path(gt=0, lt=2**63)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]

app = FastAPI()
timers: dict[int, asyncio.TimerHandle] = {}
running: set[asyncio.Task[None]] = set()


async def remind(order_id: int) -> None:
    print(f"remind: order {order_id} started")
    await asyncio.sleep(0.1)  # stands in for a mail server
    print(f"remind: order {order_id} done")


def start(order_id: int) -> None:
    del timers[order_id]
    task = asyncio.create_task(remind(order_id))
    running.add(task)  # or Python may collect it
    task.add_done_callback(running.discard)


@app.put("/orders/{order_id}/reminder", status_code=202)
async def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    if earlier := timers.get(order_id):
        earlier.cancel()
    loop = asyncio.get_running_loop()
    timers[order_id] = loop.call_later(seconds, start, order_id)
    return {"message": f"You will be reminded in {seconds:g} seconds"}


@app.delete("/orders/{order_id}/reminder", status_code=204, responses={404: {}})
async def cancel(order_id: OrderId) -> None:
    if order_id not in timers:
        raise HTTPException(404, f"No reminder of order {order_id} waits.")
    timers.pop(order_id).cancel()
