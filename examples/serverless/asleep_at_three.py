"""An app that sleeps has no clock: the loop stands still, and the digest is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import count

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

scheduler = AsyncIOScheduler(timezone="UTC")


def send_digest() -> None:
    print("send_digest: done")


async def poll_inbox() -> None:
    for number in count(1):
        print(f"poll_inbox: round {number}")
        await asyncio.sleep(0.5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    three = datetime.now(UTC) + timedelta(seconds=3)
    scheduler.add_job(send_digest, "date", run_date=three)
    scheduler.start()
    polling = asyncio.create_task(poll_inbox())
    yield
    polling.cancel()
    with suppress(asyncio.CancelledError):
        await polling
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
