"""The session that read the question keeps its connection until the stream ends."""

import asyncio
import os
from collections.abc import AsyncIterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

app = FastAPI()
folder = TemporaryDirectory()
sqlite = f"sqlite+aiosqlite:///{folder.name}/chats.db"
url = os.environ.get("DATABASE_URL", sqlite)
engine = create_async_engine(url, pool_size=2, max_overflow=0, pool_timeout=0.5)


async def open_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


async def ask_model(question: str) -> AsyncIterator[str]:
    for word in [*question.split(), "At", "four"]:
        await asyncio.sleep(0.5)  # stands in for a language model
        yield f"{word} "
    print("ask_model: done")


@app.get("/answer", responses={500: {"description": "No connection is free"}})
async def answer(
    session: Annotated[AsyncSession, Depends(open_session)],
) -> StreamingResponse:
    question = await session.scalar(text("select 'When is tea?'"))
    return StreamingResponse(ask_model(question), media_type="text/plain")
