"""A loop that has ended says nothing; the health check does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request

LONGEST_ROUND = 10  # seconds


class Loop:
    rounds = 0
    last_round = time.monotonic()
    task: asyncio.Task[None]


async def refresh_for_ever(loop: Loop) -> None:
    while True:
        loop.rounds += 1
        print(f"round {loop.rounds}: started")
        await asyncio.sleep(1)  # stands in for a slow shop
        if loop.rounds == 2:
            raise ConnectionError("the shop did not answer")
        print(f"round {loop.rounds}: done")
        loop.last_round = time.monotonic()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.loop = loop = Loop()
    loop.task = asyncio.create_task(refresh_for_ever(loop))
    yield
    loop.task.cancel()
    await asyncio.wait([loop.task])


app = FastAPI(lifespan=lifespan)


@app.get("/health", responses={503: {"description": "The loop has ended"}})
async def health(request: Request) -> dict[str, str]:
    loop: Loop = request.app.state.loop
    silent = time.monotonic() - loop.last_round
    if loop.task.done() or silent > LONGEST_ROUND:
        raise HTTPException(503, "the loop has ended, or hangs")
    return {"status": "ok"}
