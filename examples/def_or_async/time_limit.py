"""asyncio.timeout ends a task that awaits; it cannot end a thread."""

import asyncio
import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.concurrency import run_in_threadpool

app = FastAPI()


def build_report() -> None:
    time.sleep(3)  # stands in for a query that takes too long
    print("build_report: done")


async def fetch_rates() -> None:
    try:
        async with asyncio.timeout(1):
            await asyncio.sleep(10)  # stands in for a slow service
    except TimeoutError:
        print("fetch_rates: given up")


async def build_report_in_time() -> None:
    try:
        async with asyncio.timeout(1):
            await run_in_threadpool(build_report)
    except TimeoutError:
        print("build_report_in_time: given up")


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(fetch_rates)
    background_tasks.add_task(build_report_in_time)
    return {"message": "Tasks have been queued"}
