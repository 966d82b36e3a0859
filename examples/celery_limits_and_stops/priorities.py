"""On Redis the smallest number comes first, among the jobs that no worker has taken yet."""

import os
import time
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)
queue.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
)


@queue.task
def build_report(number: int) -> None:
    print(f"build_report: {number} started", flush=True)
    time.sleep(2)  # stands in for slow queries


app = FastAPI()


@app.post("/reports/{number}", status_code=202)
def create_report(
    number: Annotated[int, Path(gt=0, lt=2**31)],
    priority: Annotated[int, Query(ge=0, le=9)] = 9,
) -> dict[str, str]:
    return {"job": build_report.apply_async([number], priority=priority).id}
