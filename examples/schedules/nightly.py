"""A scheduler in the lifespan; with two workers there are two, and all runs twice."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

scheduler = AsyncIOScheduler(timezone="Europe/Berlin")


async def send_digest() -> None:
    await asyncio.sleep(1)  # stands in for many mails
    print("send_digest: done")


def refresh_prices() -> None:
    print(f"refresh_prices: process {os.getpid()}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler.add_job(send_digest, "cron", hour=3, id="digest")
    scheduler.add_job(refresh_prices, "interval", seconds=0.5)
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/next-digest")
async def read_next_digest() -> dict[str, str]:
    job = scheduler.get_job("digest")
    return {"next_run": job.next_run_time.isoformat()}
