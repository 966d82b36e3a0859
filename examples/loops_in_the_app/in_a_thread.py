"""A consumer that blocks has a thread of its own, and an event that ends it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

from fastapi import FastAPI


def poll() -> None:
    time.sleep(0.2)  # stands in for a client that waits for messages
    print("poll: a round")


def poll_for_ever(stop: Event) -> None:
    while not stop.is_set():
        poll()
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
