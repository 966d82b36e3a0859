"""Celery: a job whose user has one running is put back, and asks again a second later."""

import os
import time
from typing import Annotated

import redis
from celery import Celery, Task
from fastapi import FastAPI, Path

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
LEASE = float(os.environ.get("LEASE", "600"))  # seconds; longer than any report takes
Number = Annotated[int, Path(gt=0, lt=2**31)]

queue = Celery("shop", broker=BROKER)
queue.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
locks = redis.Redis.from_url(BROKER, socket_timeout=5)


@queue.task(bind=True, max_retries=None)  # its turn may come late
def build_report(self: Task, user: int, year: int) -> None:
    lock = locks.lock(f"report-of-{user}", timeout=LEASE)
    if not lock.acquire(blocking=False):
        raise self.retry(countdown=1)
    try:
        print(f"build_report: user {user} {year} started", flush=True)
        time.sleep(1)  # stands in for slow queries
        print(f"build_report: user {user} {year} done", flush=True)
    finally:
        lock.release()


app = FastAPI()


@app.post("/users/{user}/reports/{year}", status_code=202)
def create_report(user: Number, year: Number) -> dict[str, str]:
    return {"job": build_report.delay(user, year).id}
