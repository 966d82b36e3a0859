"""`repeat_every` of fastapi-utils: a round that fails says nothing without `on_exception`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_utils.tasks import repeat_every

logger = logging.getLogger(__name__)


def report(error: Exception) -> None:
    logger.error("a round of stock failed", exc_info=error)


@repeat_every(seconds=0.5)
async def refresh_prices() -> None:
    print("prices: a round")
    raise ConnectionError("the shop did not answer")


@repeat_every(seconds=0.5, on_exception=report)
async def refresh_stock() -> None:
    print("stock: a round")
    raise ConnectionError("the warehouse did not answer")


@repeat_every(seconds=0.5)
async def refresh_rates() -> None:
    try:
        await asyncio.sleep(60)  # stands in for a slow bank
    finally:
        print("rates: cancelled")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await refresh_prices()  # begins the loop, and returns
    await refresh_stock()
    await refresh_rates()
    yield
    print("lifespan: closes what the rounds use")


app = FastAPI(lifespan=lifespan)
