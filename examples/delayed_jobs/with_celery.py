"""Celery: a delayed job, and the note that it is cancelled, are in a worker's memory."""

import os
from typing import Annotated
from uuid import UUID

from celery import Celery
from fastapi import FastAPI, Path, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
LONGEST_JOB = int(os.environ.get("LONGEST_JOB", "3600"))  # seconds, with its delay
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]

queue = Celery("shop", broker=BROKER)
queue.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": LONGEST_JOB,
        "unacked_restore_interval": 1,  # looks for lost jobs each second
        "unacked_restore_throttle": 1,
    },
)


@queue.task
def remind(order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


app = FastAPI()


@app.post("/orders/{order_id}/reminders", status_code=202)
def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    return {"job": remind.apply_async([order_id], countdown=seconds).id}


@app.delete("/reminders/{job_id}", status_code=202)
def cancel(job_id: UUID) -> dict[str, str]:
    queue.control.revoke(str(job_id))
    return {"message": "Workers that are up will not run it"}
