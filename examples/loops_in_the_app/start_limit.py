"""What the lifespan awaits has a limit: the start fails, and can be tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


async def connect() -> None:
    print("connect: waits for the broker")
    await asyncio.sleep(3600)  # stands in for a broker that does not answer


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with asyncio.timeout(2):
        await connect()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"
