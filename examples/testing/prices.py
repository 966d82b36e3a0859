"""An app under test that opens something in its lifespan and starts a task of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

ended: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    app.state.prices = {"tea": 4}
    app.state.running = set()
    yield {"currency": "EUR"}
    if app.state.running:
        await asyncio.wait(app.state.running, timeout=5)


app = FastAPI(lifespan=lifespan)


async def refresh_prices() -> None:
    try:
        await asyncio.sleep(0.2)  # stands in for a slow shop
        ended.append("done")
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise


@app.get("/prices")
async def read_prices(request: Request) -> dict[str, int]:
    prices: dict[str, int] = request.app.state.prices
    return prices


@app.get("/currency")
async def read_currency(request: Request) -> str:
    currency: str = request.state.currency
    return currency


@app.post("/prices", status_code=202)
async def start_refreshing() -> None:
    task = asyncio.create_task(refresh_prices())
    if hasattr(app.state, "running"):
        app.state.running.add(task)
        task.add_done_callback(app.state.running.discard)
