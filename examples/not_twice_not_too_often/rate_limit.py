"""Each call takes the next free moment from one row, which all workers share."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/limits.db")
PER_MINUTE = float(os.environ.get("PER_MINUTE", "60"))

CREATE = "create table if not exists limits (api text primary key, free real)"
TAKE = """
    insert into limits values (:api, :now + :gap)
    on conflict do update set free = max(free, :now) + :gap
    returning free - :gap
"""


def execute(statement: str, values: Any = ()) -> Any:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        rows = database.execute(statement, values).fetchall()
        return rows[0] if rows else None


async def wait_for_turn(api: str) -> float:
    values = {"api": api, "now": time.time(), "gap": 60 / PER_MINUTE}
    [moment] = await asyncio.to_thread(execute, TAKE, values)
    while (left := moment - time.time()) > 0:
        await asyncio.sleep(left)
    return float(moment)


async def fetch_rate(number: int) -> None:
    moment = await wait_for_turn("exchange rates")
    now = time.time()
    print(f"fetch_rate: {number} at {now:.3f} moment {moment:.3f} in {os.getpid()}")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/rates/{number}", status_code=202)
async def create_rate(
    number: Annotated[int, Path(gt=0)], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(fetch_rate, number)
    return {"message": "Call has been queued"}
