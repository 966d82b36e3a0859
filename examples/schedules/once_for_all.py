"""All workers try to claim the night in the database; the one that can sends the digest."""

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from tempfile import gettempdir
from zoneinfo import ZoneInfo

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

ZONE = ZoneInfo("Europe/Berlin")
DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/nights.db")
scheduler = AsyncIOScheduler(timezone=ZONE)


def claim(job: str, night: str) -> bool:
    with closing(sqlite3.connect(DATABASE)) as db, db:
        db.execute(
            "CREATE TABLE IF NOT EXISTS runs (job, night, PRIMARY KEY (job, night))"
        )
        row = db.execute("INSERT OR IGNORE INTO runs VALUES (?, ?)", (job, night))
        return row.rowcount == 1


def send_digest() -> None:
    night = (datetime.now(ZONE) - timedelta(hours=3)).date().isoformat()
    if claim("digest", night):
        print(f"send_digest: {night} by process {os.getpid()}")
    else:
        print(f"send_digest: {night} has been claimed")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler.add_job(send_digest, "cron", hour=3)
    scheduler.add_job(send_digest)  # now: makes up for a run that was missed
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
