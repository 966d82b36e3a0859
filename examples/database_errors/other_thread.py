"""A sqlite3 connection belongs to the thread in which it was opened."""

import os
import sqlite3
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()
folder = TemporaryDirectory()
FILE = os.environ.get("DATABASE", f"{folder.name}/orders.db")


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


def count_with_its_own() -> None:
    with closing(sqlite3.connect(FILE)) as connection:
        print(f"count: {connection.execute('select 7').fetchone()[0]}")


@app.post("/its-own")
async def its_own(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(count_with_its_own)
    return {"message": "Task has been queued"}
