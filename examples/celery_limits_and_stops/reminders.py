"""A delay longer than the visibility timeout: Redis hands the reminder out again and again."""

import os
from datetime import UTC, datetime
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
VISIBILITY_TIMEOUT = int(os.environ.get("VISIBILITY_TIMEOUT", "3600"))
redis_options = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
}
queue = Celery("shop", broker=BROKER)
queue.conf.broker_transport_options = redis_options


@queue.task
def remind(customer: int) -> None:
    print(f"remind: customer {customer} at {datetime.now(UTC):%H:%M:%S}", flush=True)


app = FastAPI()


@app.post("/reminders/{customer}", status_code=202)
def create_reminder(
    customer: Annotated[int, Path(gt=0, lt=2**31)],
    seconds: Annotated[int, Query(ge=0, le=10**6)],
) -> dict[str, str]:
    return {"job": remind.apply_async([customer], countdown=seconds).id}
