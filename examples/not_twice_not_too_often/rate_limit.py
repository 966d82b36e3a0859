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


def take_moment(api: str) -> float:
    values = {"api": api, "now": time.time(), "gap": 60 / PER_MINUTE}
    return float(execute(TAKE, values)[0])


async def fetch_rate(number: int, moment: float) -> None:
    while (left := moment - time.time()) > 0:
        await asyncio.sleep(left)
    print(f"fetch_rate: {number} called")
    await asyncio.sleep(2.5)  # stands in for the foreign API
    print(f"fetch_rate: {number} done")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/rates/{number}", status_code=202)
def create_rate(
    number: Annotated[int, Path(gt=0, lt=2**31)], tasks: BackgroundTasks
) -> dict[str, float]:
    moment = take_moment("exchange rates")
    tasks.add_task(fetch_rate, number, moment)
    return {"at": moment}
