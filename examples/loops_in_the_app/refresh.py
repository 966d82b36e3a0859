"""The app answers before the first round; a failed round is not the last."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

logger = logging.getLogger(__name__)
rounds = {"started": 0, "done": 0}


async def refresh_prices() -> None:
    rounds["started"] += 1
    number = rounds["started"]
    print(f"round {number}: started")
    await asyncio.sleep(0.3)  # stands in for a slow shop
    if number == 2:
        raise ConnectionError("the shop did not answer")
    rounds["done"] += 1
    print(f"round {number}: done")


async def refresh_for_ever() -> None:
    try:
        while True:
            await asyncio.sleep(1)  # here, so that a failure waits too
            try:
                await refresh_prices()
            except Exception:
                logger.exception("a round failed")
    finally:
        print("the loop has ended")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    loop = asyncio.create_task(refresh_for_ever())
    yield
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    print("the lifespan goes on")


app = FastAPI(lifespan=lifespan)


@app.get("/rounds")
async def count_rounds() -> dict[str, int]:
    return rounds
