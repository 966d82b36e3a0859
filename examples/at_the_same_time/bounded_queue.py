"""A queue with room for five and two workers: full means 503, a stop lets it run empty."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path

logger = logging.getLogger(__name__)
queue: asyncio.Queue[int] = asyncio.Queue(maxsize=5)


async def build_report(pages: int) -> None:
    await asyncio.sleep(0.1 * pages)  # stands in for slow queries
    print(f"build_report: {100 // pages} rows a page")


async def work() -> None:
    while True:
        pages = await queue.get()
        try:
            await build_report(pages)
        except Exception:
            logger.exception("report of %s pages failed", pages)
        finally:
            queue.task_done()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    workers = [asyncio.create_task(work()) for _ in range(2)]
    yield
    try:
        await asyncio.wait_for(queue.join(), timeout=2)
        print("lifespan: all done")
    except TimeoutError:
        print(f"lifespan: out of time, {queue.qsize()} not even begun")
    for worker in workers:
        worker.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/reports/{pages}", status_code=202, responses={503: {}})
async def create_report(
    pages: Annotated[int, Path(ge=0, le=100)],
) -> dict[str, str]:
    try:
        queue.put_nowait(pages)
    except asyncio.QueueFull:
        detail = "Too many reports are waiting. Try again in a second."
        raise HTTPException(503, detail, headers={"Retry-After": "1"}) from None
    return {"message": "Report has been queued"}
