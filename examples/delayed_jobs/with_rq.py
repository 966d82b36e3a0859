"""RQ: a delayed job waits in Redis, for a worker that was started with --with-scheduler."""

import os
from datetime import timedelta
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Query
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job

REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")
KEEP_RESULT = int(os.environ.get("KEEP_RESULT", "500"))  # seconds; RQ's default
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]

redis = Redis.from_url(REDIS)
queue = Queue(connection=redis)


def remind(order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


app = FastAPI()


@app.post("/orders/{order_id}/reminders", status_code=202, responses={409: {}})
def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    later, name = timedelta(seconds=seconds), f"order-{order_id}"
    keep = {"job_id": name, "unique": True, "result_ttl": KEEP_RESULT}
    try:
        return {"job": queue.enqueue_in(later, remind, order_id, **keep).id}
    except DuplicateJobError:
        raise HTTPException(409, f"Order {order_id} has its reminder.") from None


@app.delete("/reminders/{job_id}", status_code=204, responses={404: {}, 409: {}})
def cancel(job_id: str) -> None:
    try:
        job = Job.fetch(job_id, connection=redis)
        if job.get_status() not in ("scheduled", "queued"):
            raise HTTPException(409, f"Reminder {job_id} does not wait any more.")
        job.delete()  # and its id is free again
    except (NoSuchJobError, InvalidJobOperation, ValueError):
        raise HTTPException(404, f"There is no reminder {job_id}.") from None
