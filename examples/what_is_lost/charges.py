"""A job that runs again charges the card again, unless each charge has a key."""

import os
import signal
import sqlite3
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Literal

from fastapi import BackgroundTasks, FastAPI, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/charges.db")
OrderId = Annotated[int, Path(gt=0, lt=2**63)]
How = Literal["with-key", "without-key"]


def database() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(DATABASE, timeout=30, isolation_level=None))


with database() as db:
    db.execute("create table if not exists jobs (order_id unique, how, done)")
    db.execute("create table if not exists charges (key unique, order_id)")


def charge_card(order_id: int, key: str) -> None:
    with database() as db:  # the payment provider: one charge for one key
        db.execute("insert or ignore into charges values (?, ?)", [key, order_id])


def pay(order_id: int) -> None:
    with database() as db:
        [(how,)] = db.execute("select how from jobs where order_id = ?", [order_id])
        key = f"order-{order_id}" if how == "with-key" else str(uuid.uuid4())
        charge_card(order_id, key)
        print(f"pay: order {order_id} charged", flush=True)
        if "POWER_FAILS" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)  # at the worst moment
        db.execute("update jobs set done = 1 where order_id = ?", [order_id])
        print(f"pay: order {order_id} done", flush=True)


def pay_what_is_open() -> None:
    with database() as db:
        rows = db.execute("select order_id from jobs where not done").fetchall()
    for (order_id,) in rows:
        pay(order_id)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    threading.Thread(target=pay_what_is_open).start()
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{how}", status_code=202)
def create_order(order_id: OrderId, how: How, tasks: BackgroundTasks) -> None:
    with database() as db:
        job = "insert or ignore into jobs values (?, ?, 0) returning order_id"
        if db.execute(job, [order_id, how]).fetchall():
            tasks.add_task(pay, order_id)


@app.get("/orders/{order_id}/charges")
def count_charges(order_id: OrderId) -> int:
    with database() as db:
        query = "select count(*) from charges where order_id = ?"
        return int(db.execute(query, [order_id]).fetchone()[0])
