"""The soft limit is an exception in the job, the hard one ends its process: with prefork."""

import os
import time

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)


@queue.task(soft_time_limit=1, time_limit=10)
def build_report(year: int) -> None:
    print(f"build_report: {year} started", flush=True)
    try:
        time.sleep(3)  # stands in for a slow query
    except SoftTimeLimitExceeded:
        print(f"build_report: {year} takes too long, tidying up", flush=True)
        raise
    print(f"build_report: {year} done", flush=True)


@queue.task(time_limit=1)
def print_labels(year: int) -> None:
    print(f"print_labels: {year} started", flush=True)
    try:
        time.sleep(3)  # stands in for a printer
        print(f"print_labels: {year} done", flush=True)
    finally:
        print(f"print_labels: {year} tidying up", flush=True)
        time.sleep(3)  # stands in for a printer that answers slowly
        print(f"print_labels: {year} tidied up", flush=True)


app = FastAPI()


@app.post("/reports/{year}", status_code=202)
def create_report(year: int) -> dict[str, str]:
    return {"job": build_report.delay(year).id}


@app.post("/labels/{year}", status_code=202)
def create_labels(year: int) -> dict[str, str]:
    return {"job": print_labels.delay(year).id}


@app.get("/jobs/{job_id}")
def read_job(job_id: str) -> dict[str, str]:
    job = queue.AsyncResult(job_id)
    return {"status": job.status, "result": repr(job.result)}
