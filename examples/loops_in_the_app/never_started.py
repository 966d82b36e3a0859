"""A lifespan that awaits its loop never reaches `yield`: nothing is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


async def refresh_for_ever() -> None:
    while True:
        print("refresh_for_ever: a round")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await refresh_for_ever()  # asyncio.create_task(…) would go on
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"
