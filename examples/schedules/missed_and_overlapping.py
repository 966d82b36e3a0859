"""A run that still goes on keeps the next one out; a blocked event loop makes runs miss."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI

scheduler = AsyncIOScheduler(timezone="UTC")


async def import_orders() -> None:
    print("import_orders: started")
    await asyncio.sleep(2)  # stands in for an import that has grown slow
    print("import_orders: done")


def send_digest(when: str) -> None:
    print(f"send_digest: {when}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler.add_job(import_orders, "interval", seconds=0.5)
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/blocked-at-three")
async def block_the_loop() -> dict[str, str]:
    three = datetime.now(UTC) + timedelta(seconds=0.1)
    scheduler.add_job(send_digest, "date", args=["in time"], run_date=three)
    scheduler.add_job(
        send_digest,
        "date",
        args=["late"],
        run_date=three,
        misfire_grace_time=3600,  # seconds; one second unless set
    )
    time.sleep(1.5)  # stands in for a computation
    return {"message": "The event loop was blocked at three"}
