"""DBOS: a delayed workflow is a row; it can be cancelled, and moved."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import gettempdir
from typing import Annotated

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, error
from fastapi import FastAPI, HTTPException, Path, Query

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/workflows.db")
OrderId = Annotated[int, Path(gt=0, lt=2**63)]
Seconds = Annotated[float, Query(ge=0, le=366 * 86_400)]

config: DBOSConfig = {
    "name": "shop",
    "system_database_url": f"sqlite:///{DATABASE}",
    "executor_id": os.environ.get("EXECUTOR", "1"),  # one per process, always the same
    "application_version": "1",
    "log_level": "WARNING",
}
DBOS(config=config)


@DBOS.workflow()
async def remind(order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    DBOS.launch()
    await DBOS.register_queue_async("reminders", polling_interval_sec=0.1)
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/reminders", status_code=202, responses={409: {}})
async def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    name = f"order-{order_id}"
    try:
        with SetEnqueueOptions(delay_seconds=seconds, deduplication_id=name):
            job = await DBOS.enqueue_workflow_async("reminders", remind, order_id)
    except error.DBOSQueueDeduplicatedError:
        raise HTTPException(409, f"Order {order_id} has its reminder.") from None
    return {"job": job.workflow_id}


async def require_waiting(job_id: str) -> None:
    job = await DBOS.get_workflow_status_async(job_id)
    if not job or job.status not in ("DELAYED", "ENQUEUED"):
        raise HTTPException(409, f"No reminder {job_id} waits.")


@app.put("/reminders/{job_id}", status_code=202, responses={409: {}})
async def move(job_id: str, seconds: Seconds) -> None:
    await require_waiting(job_id)
    await DBOS.set_workflow_delay_async(job_id, delay_seconds=seconds)


@app.delete("/reminders/{job_id}", status_code=204, responses={409: {}})
async def cancel(job_id: str) -> None:
    await require_waiting(job_id)
    await DBOS.cancel_workflow_async(job_id)
