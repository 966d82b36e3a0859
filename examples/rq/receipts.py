"""An RQ worker forks for each job; one that is killed needs `Retry` and another worker."""

import os
import time
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Retry
from rq.exceptions import NoSuchJobError
from rq.job import Job

REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")
RETRIES = int(os.environ.get("RETRIES", "2"))  # without them a killed job is failed
RowId = Annotated[int, Path(gt=0, lt=2**31)]

redis = Redis.from_url(REDIS, socket_connect_timeout=3)
queue = Queue(connection=redis)


def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    time.sleep(1 if item == "slow" else 0.02)  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: order {order_id} done", flush=True)


app = FastAPI()


@app.post("/orders/{order_id}/{item}", status_code=202, responses={503: {}})
def create_order(order_id: RowId, item: str) -> dict[str, str]:
    retry = Retry(max=RETRIES) if RETRIES else None
    try:
        job = queue.enqueue(send_receipt, order_id, item, retry=retry)
    except RedisError:
        raise HTTPException(503, "Orders cannot be taken right now.") from None
    return {"job": job.id}


@app.get("/jobs/{job_id}", responses={404: {}, 503: {}})
def read_job(job_id: str) -> dict[str, str | None]:
    try:
        job = Job.fetch(job_id, connection=redis)
        status, result = job.get_status(), job.latest_result()
    except (NoSuchJobError, ValueError):
        raise HTTPException(404, f"There is no job {job_id}.") from None
    except RedisError:
        raise HTTPException(503, "Jobs cannot be read right now.") from None
    error = result.exc_string if result else None  # for you, not for clients
    return {"status": str(status.value), "error": error}
