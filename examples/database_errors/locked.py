"""SQLite has one writer: who works while writing keeps out all others."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory

from fastapi import BackgroundTasks, FastAPI

folder = TemporaryDirectory()
FILE = os.environ.get("DATABASE", f"{folder.name}/orders.db")


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(FILE, timeout=1)) as connection, connection:
        yield connection


with transaction() as connection:
    connection.execute("create table if not exists notes (text)")
app = FastAPI()


def build_report() -> str:
    time.sleep(5)  # stands in for slow work
    return "report"


def work_inside() -> None:
    with transaction() as connection:
        connection.execute("insert into notes values ('started')")
        print("work_inside: has written")
        text = build_report()
        connection.execute("insert into notes values (?)", [text])
    print("work_inside: done")


def work_between() -> None:
    with transaction() as connection:
        connection.execute("insert into notes values ('started')")
    print("work_between: has written")
    text = build_report()
    with transaction() as connection:
        connection.execute("insert into notes values (?)", [text])
    print("work_between: done")


@app.post("/inside")
def start_inside(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work_inside)
    return {"message": "Task has been queued"}


@app.post("/between")
def start_between(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(work_between)
    return {"message": "Task has been queued"}


@app.post("/notes", responses={500: {"description": "The database is locked"}})
def write_note() -> dict[str, str]:
    with transaction() as connection:
        connection.execute("insert into notes values ('note')")
    return {"message": "Note has been written"}
