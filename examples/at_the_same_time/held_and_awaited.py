"""Tasks that go on beside the request: held, logged when they fail, awaited at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path

logger = logging.getLogger(__name__)
running: set[asyncio.Task[None]] = set()


def start(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    running.add(task)
    task.add_done_callback(ended)


def ended(task: asyncio.Task[None]) -> None:
    running.discard(task)
    if not task.cancelled() and (error := task.exception()):
        logger.error("%s failed", task.get_coro(), exc_info=error)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    if running:
        _, late = await asyncio.wait(running, timeout=2)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        print(f"lifespan: {len(late)} cancelled")


app = FastAPI(lifespan=lifespan)


async def refresh_prices(seconds: float) -> None:
    await asyncio.sleep(seconds)
    print(f"refresh_prices: {10 / seconds} per second")


@app.post("/prices/{seconds}")
async def create_prices(seconds: Annotated[float, Path(ge=0, le=60)]) -> dict[str, str]:
    start(refresh_prices(seconds))
    return {"message": "Task has been started"}
