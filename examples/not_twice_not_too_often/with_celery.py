"""Celery: short jobs have a queue and a worker of their own, and wait behind no long one."""

import os
import time
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
Number = Annotated[int, Path(gt=0, lt=2**31)]

queue = Celery("shop", broker=BROKER)
queue.conf.task_routes = {"*.send_receipt": "short"}


@queue.task
def build_report(number: int) -> None:
    print(f"build_report: {number} started", flush=True)
    time.sleep(5)  # stands in for slow queries
    print(f"build_report: {number} done", flush=True)


@queue.task
def send_receipt(number: int) -> None:
    print(f"send_receipt: {number}", flush=True)  # stands in for a mail


app = FastAPI()


@app.post("/reports/{number}", status_code=202)
def create_report(number: Number) -> dict[str, str]:
    return {"job": build_report.delay(number).id}


@app.post("/receipts/{number}", status_code=202)
def create_receipt(number: Number) -> dict[str, str]:
    return {"job": send_receipt.delay(number).id}
