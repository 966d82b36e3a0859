"""Procrastinate: a delayed job is a row in PostgreSQL, with the time at which it is due."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Query
from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[int, Query(ge=0, le=366 * 86_400)]

queue = App(
    connector=PsycopgConnector(conninfo=DATABASE),
    worker_defaults={"fetch_job_polling_interval": 1},  # seconds; 5 by default
)


@queue.task
async def remind(order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with queue.open_async():
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/reminders", status_code=202, responses={409: {}})
async def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, int]:
    later = remind.configure(
        schedule_in={"seconds": seconds}, queueing_lock=f"order-{order_id}"
    )
    try:
        return {"job": await later.defer_async(order_id=order_id)}
    except AlreadyEnqueued:
        raise HTTPException(409, f"Order {order_id} has its reminder.") from None


@app.delete("/reminders/{job_id}", status_code=204, responses={409: {}})
async def cancel(job_id: OrderId) -> None:
    if not await queue.job_manager.cancel_job_by_id_async(job_id):
        raise HTTPException(409, f"No reminder {job_id} waits.")
