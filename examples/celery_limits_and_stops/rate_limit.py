"""Each worker counts for itself: two of them send twice as much as the limit says."""

import os

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)
queue.conf.worker_prefetch_multiplier = 1


@queue.task(rate_limit="2/s")
def send_sms(number: int) -> None:
    print(f"send_sms: {number}", flush=True)


app = FastAPI()


@app.post("/sms/{number}", status_code=202)
def create_sms(number: int) -> dict[str, str]:
    return {"job": send_sms.delay(number).id}
