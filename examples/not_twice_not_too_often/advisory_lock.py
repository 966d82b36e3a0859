"""A lock in PostgreSQL is held by one task of all workers, and ends when its process dies."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
REPORTS = 1  # what the lock is for; other jobs have other numbers
User = Annotated[int, Path(gt=0, lt=2**31)]

engine = create_async_engine(DATABASE.replace("postgresql:", "postgresql+psycopg:"))


async def build_report(user: int) -> None:
    while not await build_if_free(user):
        await asyncio.sleep(0.2)  # without a connection


async def build_if_free(user: int) -> bool:
    async with engine.begin() as connection:  # as long as the job runs
        lock = func.pg_try_advisory_xact_lock(REPORTS, user)
        if not await connection.scalar(select(lock)):
            return False
        print(f"build_report: user {user} started in {os.getpid()}", flush=True)
        await asyncio.sleep(1)  # stands in for slow queries
        print(f"build_report: user {user} done", flush=True)
        return True


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/users/{user}/reports", status_code=202)
async def create_report(user: User, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(build_report, user)
    return {"message": "Report has been queued"}
