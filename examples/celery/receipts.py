"""With these settings a killed Celery worker loses one job at most; with the defaults it loses all that it runs."""

import os
import signal
import time
from typing import Annotated, Any

from celery import Celery
from fastapi import FastAPI, HTTPException, Path
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
RESULTS = os.environ.get("RESULTS", BROKER)
LONGEST_JOB = int(os.environ.get("LONGEST_JOB", "3600"))  # seconds
RowId = Annotated[int, Path(gt=0, lt=2**31)]

queue = Celery("shop", broker=BROKER, backend=RESULTS)
queue.conf.update(
    task_acks_late=True,  # acknowledged when done, not when begun
    task_reject_on_worker_lost=True,  # or a killed process counts as done
    worker_prefetch_multiplier=1,
    result_backend_transport_options={"retry_policy": {"max_retries": 2}},
    redis_socket_timeout=3,
)
if BROKER.startswith("redis"):
    queue.conf.broker_transport_options = {
        "visibility_timeout": LONGEST_JOB,
        "unacked_restore_interval": 2,  # looks for lost jobs each 2 s, not each 100
        "unacked_restore_throttle": 1,
        "socket_timeout": 3,  # for a Redis that does not answer
    }
else:
    queue.conf.broker_transport_options = {"confirm_publish": True}
options = {"autoretry_for": [ConnectionError], "retry_backoff": 1, "max_retries": 2}


@queue.task(**options)
def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    if item == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
    time.sleep({"slow": 1, "long": 6}.get(item, 0.05))  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: order {order_id} done", flush=True)


app = FastAPI()


@app.post("/orders/{order_id}/{item}", status_code=202, responses={503: {}})
def create_order(order_id: RowId, item: str) -> dict[str, str]:
    try:
        job = send_receipt.apply_async([order_id, item], retry=False)  # 503 at once
        return {"job": job.id}
    except (OperationalError, RuntimeError):  # the broker's, the result store's
        raise HTTPException(503, "Orders cannot be taken right now.") from None


@app.get("/jobs/{job_id}", responses={503: {}})
def read_job(job_id: str) -> dict[str, Any]:
    job = queue.AsyncResult(job_id)
    try:
        error = repr(job.result) if job.failed() else None  # for you, not for clients
        return {"status": job.status, "error": error}
    except RedisError:
        raise HTTPException(503, "Jobs cannot be read right now.") from None
