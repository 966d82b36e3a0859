"""With several workers one has the loop; when it dies, another takes it over."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from tempfile import gettempdir

from fastapi import FastAPI

LOCK = Path(os.environ.get("LOCK_FILE", f"{gettempdir()}/refresh.lock"))


async def refresh_for_ever() -> None:
    print(f"refresh_for_ever: begins in {os.getpid()}")
    while True:
        await asyncio.sleep(1)  # stands in for a round


async def refresh_when_alone() -> None:
    with LOCK.open("w") as lock:
        while True:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(0.5)
            else:
                await refresh_for_ever()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    print(f"lifespan: begins in {os.getpid()}")
    loop = asyncio.create_task(refresh_when_alone())
    yield
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"
