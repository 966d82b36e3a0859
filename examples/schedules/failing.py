"""A scheduled job raises: a listener tells of it, and of runs that were missed."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

logger = logging.getLogger("schedule")


def refresh_prices() -> None:
    raise ConnectionError("the shop does not answer")


def report(event: JobExecutionEvent) -> None:
    logger.error("job %s: %r", event.job_id, event.exception or "missed")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler = AsyncIOScheduler()
    scheduler.add_listener(report, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    scheduler.add_job(refresh_prices, "interval", seconds=0.5, id="prices")
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
