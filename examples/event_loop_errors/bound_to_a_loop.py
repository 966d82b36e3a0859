"""A task of another loop cannot be awaited, and a lock of another loop not waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI

catalogue = asyncio.Lock()


async def fetch_rates() -> float:
    await asyncio.sleep(3)  # stands in for a slow service
    return 1.07


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.rates = asyncio.create_task(fetch_rates())
    yield


app = FastAPI(lifespan=lifespan)


async def convert_prices() -> None:
    print(f"convert_prices: {await app.state.rates}")


async def write_catalogue() -> None:
    print("write_catalogue: asked")
    async with catalogue:
        await asyncio.sleep(2)  # stands in for a slow disk
    print("write_catalogue: done")


def convert_prices_in_a_new_loop() -> None:
    asyncio.run(convert_prices())


def write_catalogue_in_a_new_loop() -> None:
    asyncio.run(write_catalogue())


@app.post("/prices")
async def prices(tasks: BackgroundTasks) -> str:
    tasks.add_task(convert_prices_in_a_new_loop)
    return "queued"


@app.post("/catalogue")
async def write(tasks: BackgroundTasks) -> str:
    tasks.add_task(write_catalogue)
    return "queued"


@app.post("/catalogue-in-a-new-loop")
async def write_in_a_new_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(write_catalogue_in_a_new_loop)
    return "queued"
