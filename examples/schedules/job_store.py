"""What is added at each start is in the store as often, unless its id replaces it."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import gettempdir

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from fastapi import FastAPI

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/jobs.db")
store = SQLAlchemyJobStore(url=f"sqlite:///{DATABASE}")
scheduler = BackgroundScheduler(jobstores={"default": store}, timezone="UTC")


def refresh_prices() -> None:
    print(f"refresh_prices: process {os.getpid()}", flush=True)


def send_digest() -> None:
    print("send_digest: done", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler.add_job(send_digest, "cron", hour=3)  # one more at each start
    scheduler.add_job(
        refresh_prices, "interval", seconds=1, id="prices", replace_existing=True
    )
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/jobs")
def count_jobs() -> dict[str, int]:
    return Counter(job.name for job in scheduler.get_jobs())
