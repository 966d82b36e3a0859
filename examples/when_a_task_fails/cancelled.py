"""A cancelled task leaves its row at "running" unless it catches more than Exception."""

import asyncio
import os
from pathlib import Path
from tempfile import gettempdir

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
row = Path(os.environ.get("ROW", f"{gettempdir()}/status"))  # stands in for a table


async def build_report() -> None:
    print("build_report: started")
    await asyncio.sleep(60)  # stands in for slow work


async def catch_exception() -> None:
    row.write_text("running")
    try:
        await build_report()
    except Exception:
        row.write_text("failed")


async def catch_everything() -> None:
    row.write_text("running")
    try:
        await build_report()
    except BaseException:
        row.write_text("failed")
        raise


@app.post("/exception")
async def start_one(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(catch_exception)
    return {"message": "Task has been queued"}


@app.post("/everything")
async def start_another(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(catch_everything)
    return {"message": "Task has been queued"}
