"""More calls than connections: who waits too long for a free one gets a PoolTimeout."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import httpx
from fastapi import BackgroundTasks, FastAPI

PARTNER = os.environ.get("PARTNER", "http://127.0.0.1:8000/partner")
LIMITS = httpx.Limits(max_connections=2)

client = httpx.AsyncClient(limits=LIMITS, timeout=httpx.Timeout(30, pool=1))
patient = httpx.AsyncClient(limits=LIMITS, timeout=httpx.Timeout(30, pool=None))
two_at_a_time = asyncio.Semaphore(2)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with client, patient:
        yield


app = FastAPI(lifespan=lifespan)


async def deliver(by: httpx.AsyncClient, order: int) -> None:
    try:
        await by.post(PARTNER)
    except httpx.TransportError as error:
        print(f"deliver: {order}: {error!r}")
    else:
        print(f"deliver: {order}: done")


async def deliver_in_turn(order: int) -> None:
    async with two_at_a_time:
        await deliver(client, order)


@app.post("/{how}/{order}")
async def create_order(
    how: Literal["at-once", "in-turn", "patient"], order: int, tasks: BackgroundTasks
) -> dict[str, str]:
    if how == "in-turn":
        tasks.add_task(deliver_in_turn, order)
    else:
        tasks.add_task(deliver, client if how == "at-once" else patient, order)
    return {"message": "Task has been queued"}


@app.post("/partner")
async def partner() -> None:
    await asyncio.sleep(2)  # stands in for a slow service
