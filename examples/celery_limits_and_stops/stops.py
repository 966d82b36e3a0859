"""`revoke` reaches a job that waits; one that runs goes on, unless its process is killed."""

import os
import time
from uuid import UUID

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
SOFT_SHUTDOWN = float(os.environ.get("SOFT_SHUTDOWN", "0"))
settings = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "worker_soft_shutdown_timeout": SOFT_SHUTDOWN,
}
queue = Celery("shop", broker=BROKER, backend=BROKER)
queue.conf.update(settings)


@queue.task
def build_report(year: int) -> None:
    for page in range(1, 31):
        print(f"build_report: {year}, page {page}", flush=True)
        time.sleep(0.1)  # stands in for a query
    print(f"build_report: {year} done", flush=True)


app = FastAPI()


@app.post("/reports/{year}", status_code=202)
def create_report(year: int) -> dict[str, str]:
    return {"job": build_report.delay(year).id}


@app.delete("/jobs/{job_id}", status_code=202)
def cancel_job(job_id: UUID, kill: bool = False) -> None:
    queue.control.revoke(str(job_id), terminate=kill)


@app.get("/jobs/{job_id}")
def read_job(job_id: str) -> dict[str, str]:
    return {"status": queue.AsyncResult(job_id).status}
