"""A job that is taken up too late is dropped: after an outage old jobs do not all run."""

import os
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)


@queue.task
def send_offer(number: int) -> None:
    print(f"send_offer: {number}", flush=True)  # stands in for a mail


app = FastAPI()


@app.post("/offers/{number}", status_code=202)
def create_offer(
    number: Annotated[int, Path(gt=0, lt=2**31)],
    seconds: Annotated[float, Query(gt=0, le=86_400)] = 600,
) -> dict[str, str]:
    return {"job": send_offer.apply_async([number], expires=seconds).id}
