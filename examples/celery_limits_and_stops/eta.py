"""A time without its zone is taken for UTC: west of it the job runs at once, east hours late."""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)
Seconds = Annotated[int, Query(ge=0, le=86_400)]


@queue.task
def remind(which: str) -> None:
    print(f"remind: {which}", flush=True)


app = FastAPI()


@app.post("/naive", status_code=202)
def with_a_naive_time(seconds: Seconds) -> dict[str, str]:
    eta = datetime.now() + timedelta(seconds=seconds)
    return {"job": remind.apply_async(["naive"], eta=eta).id}


@app.post("/aware", status_code=202)
def with_an_aware_time(seconds: Seconds) -> dict[str, str]:
    eta = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"job": remind.apply_async(["aware"], eta=eta).id}
