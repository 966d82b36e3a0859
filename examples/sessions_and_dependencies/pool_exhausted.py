"""The session of a request keeps its connection until the tasks are over."""

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
engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_timeout=0.5)


async def open_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def send_receipt() -> None:
    print("send_receipt: started")
    await asyncio.sleep(5)  # stands in for a slow mail server; needs no database
    print("send_receipt: done")


@app.post("/orders", responses={500: {"description": "No connection is free"}})
async def create_order(
    session: Annotated[AsyncSession, Depends(open_session)], tasks: BackgroundTasks
) -> dict[str, int | None]:
    tasks.add_task(send_receipt)
    return {"id": await session.scalar(text("select 7"))}
