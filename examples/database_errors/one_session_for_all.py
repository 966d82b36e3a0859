"""One async session is for one at a time: each member of a group opens its own."""

import asyncio
import os
from tempfile import TemporaryDirectory

from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
folder = TemporaryDirectory()
sqlite = f"sqlite+aiosqlite:///{folder.name}/orders.db"
engine = create_async_engine(os.environ.get("DATABASE_URL", sqlite))


async def count(session: AsyncSession, number: int) -> None:
    print(f"count: {await session.scalar(text(f'select {number}'))}")


async def share_one() -> None:
    async with AsyncSession(engine) as session, asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(count(session, number))


async def count_with_its_own(number: int) -> None:
    async with AsyncSession(engine) as session:
        await count(session, number)


async def one_each() -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(count_with_its_own(number))


@app.post("/shared")
async def start_shared(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(share_one)
    return {"message": "Task has been queued"}


@app.post("/one-each")
async def start_one_each(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(one_each)
    return {"message": "Task has been queued"}
