"""A dependency that is called by hand is not ended by hand: its connection stays out."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
folder = TemporaryDirectory()
sqlite = f"sqlite+aiosqlite:///{folder.name}/orders.db"
engine = create_async_engine(os.environ.get("DATABASE_URL", sqlite))
generators: list[AsyncIterator[AsyncSession]] = []  # stands in for whatever holds them


async def open_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def take_the_next() -> None:
    generators.append(generator := open_session())
    session = await anext(generator)
    print(f"take_the_next: {await session.scalar(text('select 7'))}")


async def enter_it() -> None:
    async with asynccontextmanager(open_session)() as session:
        print(f"enter_it: {await session.scalar(text('select 7'))}")


@app.post("/next")
async def start_with_next(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(take_the_next)
    return {"message": "Task has been queued"}


@app.post("/entered")
async def start_entered(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(enter_it)
    return {"message": "Task has been queued"}


@app.get("/pool")
async def read_pool() -> dict[str, str]:
    return {"pool": engine.pool.status()}
