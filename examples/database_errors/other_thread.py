"""A sqlite3 connection belongs to the thread in which it was opened."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()
folder = TemporaryDirectory()
FILE = os.environ.get("DATABASE", f"{folder.name}/orders.db")


def open_connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(FILE, check_same_thread=False)) as connection:
        yield connection


def open_in_one_thread() -> sqlite3.Connection:
    return sqlite3.connect(FILE)


async def count(connection: sqlite3.Connection) -> None:
    print(f"count: {connection.execute('select 7').fetchone()[0]}")


@app.post("/one-thread")
async def one_thread(
    connection: Annotated[sqlite3.Connection, Depends(open_in_one_thread)],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    tasks.add_task(count, connection)
    return {"message": "Task has been queued"}


@app.post("/any-thread")
async def any_thread(
    connection: Annotated[sqlite3.Connection, Depends(open_connection)],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    tasks.add_task(count, connection)
    return {"message": "Task has been queued"}
