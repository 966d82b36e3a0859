"""Stop this server while a thread works that it knows nothing of, and see whether it says done."""

import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import to_thread
from fastapi import FastAPI, Path

Seconds = Annotated[int, Path(ge=0, le=60)]
reports = ThreadPoolExecutor(1)
awaited_reports = ThreadPoolExecutor(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await to_thread.run_sync(awaited_reports.shutdown)


app = FastAPI(lifespan=lifespan)


def work(seconds: int) -> None:
    print("work: started")
    try:
        time.sleep(seconds)
        print("work: done")
    finally:
        print("work: ended")


@app.post("/thread/{seconds}")
async def start_thread(seconds: Seconds) -> dict[str, str]:
    threading.Thread(target=work, args=(seconds,)).start()
    return {"message": "Thread has been started"}


@app.post("/daemon/{seconds}")
async def start_daemon(seconds: Seconds) -> dict[str, str]:
    threading.Thread(target=work, args=(seconds,), daemon=True).start()
    return {"message": "Thread has been started"}


@app.post("/submit/{seconds}")
async def submit(seconds: Seconds) -> dict[str, str]:
    reports.submit(work, seconds)
    return {"message": "Job has been submitted"}


@app.post("/submit-and-shutdown/{seconds}")
async def submit_awaited(seconds: Seconds) -> dict[str, str]:
    awaited_reports.submit(work, seconds)
    return {"message": "Job has been submitted"}
