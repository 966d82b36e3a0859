"""A consumer that blocks has a thread, and an event that ends it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

from fastapi import FastAPI

logger = logging.getLogger(__name__)


def poll() -> None:
    time.sleep(0.2)  # stands in for a client that waits for messages, for so long
    print("poll: a round")


def poll_for_ever(stop: Event) -> None:
    while not stop.is_set():
        try:
            poll()
        except Exception:
            logger.exception("a round failed")
            stop.wait(1)
    print("poll_for_ever: ended")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    stop = Event()
    consumer = asyncio.create_task(asyncio.to_thread(poll_for_ever, stop))
    yield
    stop.set()
    await consumer


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"
