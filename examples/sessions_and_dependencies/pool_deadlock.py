"""A task opens a session of its own while its request still holds one: two per request."""

import asyncio
import os
from collections.abc import AsyncIterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
folder = TemporaryDirectory()
sqlite = f"sqlite+aiosqlite:///{folder.name}/orders.db"
url = os.environ.get("DATABASE_URL", sqlite)
engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_timeout=2)


async def open_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def send_receipt() -> None:
    await asyncio.sleep(1)  # stands in for writing the receipt
    print("send_receipt: opens a session of its own")
    async with AsyncSession(engine) as session:
        await session.scalar(text("select 7"))
    print("send_receipt: done")


@app.post("/orders")
async def create_order(
    session: Annotated[AsyncSession, Depends(open_session)], tasks: BackgroundTasks
) -> dict[str, int | None]:
    order_id = await session.scalar(text("select 7"))
    tasks.add_task(send_receipt)
    return {"id": order_id}
