"""Who holds a lock in PostgreSQL has the schedule; the others wait for it to be free."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI
from psycopg import AsyncConnection, OperationalError

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
TAKE = "select pg_try_advisory_lock(4711)"  # other locks have other numbers


def refresh_prices() -> None:
    print(f"refresh_prices: process {os.getpid()}", flush=True)


async def ask(connection: AsyncConnection, question: str) -> bool:
    async with asyncio.timeout(5):  # a server that does not answer has no lock for us
        row = await (await connection.execute(question)).fetchone()
    return bool(row and row[0])


async def lead() -> None:
    async with await AsyncConnection.connect(
        DATABASE, autocommit=True, connect_timeout=5
    ) as connection:
        while not await ask(connection, TAKE):
            await asyncio.sleep(0.5)
        scheduler = AsyncIOScheduler(timezone="Europe/Berlin")
        scheduler.add_job(refresh_prices, "interval", seconds=0.5)
        scheduler.start()
        try:
            while await ask(connection, "select true"):  # fails if the lock is lost
                await asyncio.sleep(0.5)
        finally:
            scheduler.shutdown(wait=False)
            print("lead: ends", flush=True)


async def lead_for_ever() -> None:
    while True:
        try:
            await lead()
        except (OperationalError, TimeoutError) as error:
            print(f"lead: {error!r}", flush=True)
            await asyncio.sleep(0.5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    leading = asyncio.create_task(lead_for_ever())
    yield
    leading.cancel()
    with suppress(asyncio.CancelledError):
        await leading


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
