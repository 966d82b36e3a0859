"""An event loop that is blocked for a second has the server print in which line."""

import asyncio
import faulthandler
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI


async def watch() -> None:
    while True:
        faulthandler.dump_traceback_later(1)  # not if it is called again before
        await asyncio.sleep(0.25)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    watching = asyncio.create_task(watch())
    yield
    watching.cancel()
    faulthandler.cancel_dump_traceback_later()


app = FastAPI(lifespan=lifespan)


async def build_report() -> None:
    time.sleep(2)  # stands in for a blocking library
    print("build_report: done")


@app.post("/report")
async def create_report(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(build_report)
    return {"message": "Task has been queued"}
