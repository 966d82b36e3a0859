"""Each process of the worker has one event loop for all its jobs, so the pool can stay."""

import asyncio
import os

from celery import Celery
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
POSTGRESQL = os.environ.get("POSTGRESQL", "postgresql+asyncpg://127.0.0.1/shop")
queue = Celery("shop", broker=BROKER)
engine = create_async_engine(POSTGRESQL)
loop = asyncio.Runner()


async def count_orders(day: str) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("select 1"))  # stands in for a count
    print(f"count_orders: {day} done", flush=True)


@queue.task
def build_report(day: str) -> None:
    loop.run(count_orders(day))


app = FastAPI()


@app.post("/reports/{day}", status_code=202)
def create_report(day: str) -> dict[str, str]:
    return {"job": build_report.delay(day).id}
