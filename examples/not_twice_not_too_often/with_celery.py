"""Celery: a rate limit is per worker, a time limit kills, short jobs have their own queue."""

import os
import time
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
Number = Annotated[int, Path(gt=0, lt=2**31)]

queue = Celery("shop", broker=BROKER)
queue.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_routes={"*.send_receipt": "short"},
)


@queue.task(rate_limit="60/m")
def fetch_rate(number: int) -> None:
    print(f"fetch_rate: {number}", flush=True)  # stands in for a foreign API


@queue.task(time_limit=2)
def build_report(number: int) -> None:
    print(f"build_report: {number} started", flush=True)
    time.sleep(6)  # stands in for a library that hangs
    print(f"build_report: {number} done", flush=True)


@queue.task
def send_receipt(number: int) -> None:
    print(f"send_receipt: {number}", flush=True)  # stands in for a mail


app = FastAPI()


@app.post("/rates/{number}", status_code=202)
def create_rate(number: Number) -> dict[str, str]:
    return {"job": fetch_rate.delay(number).id}


@app.post("/reports/{number}", status_code=202)
def create_report(number: Number) -> dict[str, str]:
    return {"job": build_report.delay(number).id}


@app.post("/receipts/{number}", status_code=202)
def create_receipt(number: Number) -> dict[str, str]:
    return {"job": send_receipt.delay(number).id}
