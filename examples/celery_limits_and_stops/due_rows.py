"""The delay is a row, not a message: each second a job looks for rows that are due."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

from celery import Celery
from fastapi import FastAPI, Path, Query

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
DATABASE = os.environ.get("DATABASE", "shop.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds that one mail may take
queue = Celery("shop", broker=BROKER)


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=60)) as db, db:
        columns = "number integer primary key, customer int, due real"
        db.execute(f"create table if not exists reminders ({columns})")
        yield db


TAKE = """update reminders set due = :again where number =
    (select number from reminders where due <= :now order by due limit 1)
    returning number, customer"""


def take() -> tuple[int, int] | None:
    now = time.time()
    with transaction() as db:
        due = db.execute(TAKE, {"now": now, "again": now + LEASE})
        reminder: tuple[int, int] | None = due.fetchone()
    return reminder


@queue.task
def send_due() -> None:
    while reminder := take():
        number, customer = reminder
        print(f"send_due: customer {customer}", flush=True)  # a mail, in no transaction
        with transaction() as db:
            db.execute("delete from reminders where number = ?", [number])


each_second = {
    "task": send_due.name,
    "schedule": 1.0,
    "options": {"expires": 10},  # after an outage one of them is enough
}
queue.conf.beat_schedule = {"reminders": each_second}
app = FastAPI()


@app.post("/reminders/{customer}", status_code=202)
def create_reminder(
    customer: Annotated[int, Path(gt=0, lt=2**31)],
    seconds: Annotated[int, Query(ge=0, le=10**8)],
) -> None:
    with transaction() as db:
        db.execute(
            "insert into reminders (customer, due) values (?, ?)",
            [customer, time.time() + seconds],
        )
