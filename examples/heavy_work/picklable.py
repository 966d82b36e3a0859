"""What goes to another process and comes back is pickled; a lambda or a session is not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, closing
from multiprocessing import get_context
from typing import Any

from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(1, get_context("spawn")) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


def count_rows(database: str) -> int:
    with closing(sqlite3.connect(database)) as session:
        return len(session.execute("SELECT 1").fetchall())


def count_rows_of(session: sqlite3.Connection) -> int:
    return len(session.execute("SELECT 1").fetchall())


async def run_in_pool(function: Callable[..., Any], *args: Any) -> None:
    loop = asyncio.get_running_loop()
    try:
        result = await loop.run_in_executor(app.state.pool, function, *args)
        print(f"run_in_pool: {result}")
    except Exception as error:
        print(f"run_in_pool: {error}")


@app.post("/jobs")
async def create_jobs(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(run_in_pool, count_rows, ":memory:")
    tasks.add_task(run_in_pool, lambda: 1)
    tasks.add_task(run_in_pool, count_rows_of, sqlite3.connect(":memory:"))
    tasks.add_task(run_in_pool, sqlite3.connect, ":memory:")  # the result
    return {"message": "Tasks have been queued"}
