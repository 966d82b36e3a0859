"""Sentry is told when a scheduled job begins and how it ends, and misses the run that never came."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import sentry_sdk
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI
from sentry_sdk.types import MonitorConfig

sentry_sdk.init(dsn=os.environ.get("SENTRY_DSN"))
EVERY_MINUTE: MonitorConfig = {
    "schedule": {"type": "interval", "value": 1, "unit": "minute"},
    "checkin_margin": 1,  # minutes that a run may be late
    "max_runtime": 1,
}


@sentry_sdk.monitor("refresh-prices", EVERY_MINUTE)
async def refresh_prices() -> None:
    print("refresh_prices: done")


@sentry_sdk.monitor("send-digest", EVERY_MINUTE)
async def send_digest() -> None:
    raise ConnectionError("the mail server refused the connection")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler = AsyncIOScheduler(timezone=UTC)
    for job in refresh_prices, send_digest:
        scheduler.add_job(job, "interval", minutes=1, next_run_time=datetime.now(UTC))
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
