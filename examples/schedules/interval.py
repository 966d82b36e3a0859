"""An interval counts from the start of the app, unless it has a start of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI


def refresh_prices(how: str) -> None:
    print(f"refresh_prices: {how}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    scheduler = app.state.scheduler = AsyncIOScheduler(timezone=UTC)
    at_three, now = datetime(2026, 1, 1, 3, tzinfo=UTC), datetime.now(UTC)
    for how, when in {
        "from the start": {},
        "from a date": {"start_date": at_three},
        "at once": {"next_run_time": now},
    }.items():
        scheduler.add_job(refresh_prices, "interval", [how], id=how, hours=24, **when)
    scheduler.start()
    yield
    scheduler.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/next-runs")
async def read_next_runs() -> dict[str, str]:
    jobs = app.state.scheduler.get_jobs()
    return {job.id: job.next_run_time.isoformat() for job in jobs}
