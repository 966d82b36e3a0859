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
queue = Celery("shop", broker=BROKER)


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=60)) as db, db:
        db.execute("create table if not exists reminders (customer int, due real)")
        yield db


@queue.task
def send_due() -> None:
    with transaction() as db:
        due = "delete from reminders where due <= ? returning customer"
        for (customer,) in db.execute(due, [time.time()]).fetchall():
            print(f"send_due: customer {customer}", flush=True)


each_second = {"task": send_due.name, "schedule": 1.0}
queue.conf.beat_schedule = {"reminders": each_second}
app = FastAPI()


@app.post("/reminders/{customer}", status_code=202)
def create_reminder(
    customer: Annotated[int, Path(gt=0, lt=2**31)],
    seconds: Annotated[int, Query(ge=0, le=10**8)],
) -> None:
    with transaction() as db:
        db.execute(
            "insert into reminders values (?, ?)", [customer, time.time() + seconds]
        )
