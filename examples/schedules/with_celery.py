"""Two beats send each job twice: the first of the two claims the night, the other does nothing."""

import os
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from celery import Celery
from celery.schedules import crontab
from fastapi import FastAPI
from redis import Redis

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
ZONE = ZoneInfo("Europe/Berlin")
redis = Redis.from_url(BROKER)
queue = Celery("nights", broker=BROKER)
queue.conf.timezone = "Europe/Berlin"


def claim(job: str, night: str) -> bool:
    return bool(redis.set(f"{job} {night}", "claimed", nx=True, ex=timedelta(days=7)))


@queue.task
def send_digest() -> None:
    # An hour before three: the clocks of two machines differ.
    night = (datetime.now(ZONE) - timedelta(hours=2)).date().isoformat()
    if claim("digest", night):
        print(f"send_digest: {night}", flush=True)
    else:
        print(f"send_digest: {night} has been claimed", flush=True)


at_three = {"task": send_digest.name, "schedule": crontab(hour="3", minute="0")}
queue.conf.beat_schedule = {"digest": at_three}
app = FastAPI()


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
