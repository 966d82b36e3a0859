"""A reminder is a row with its time: it survives a kill, and cancelling it is an UPDATE."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/reminders.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds; longer than any reminder takes
OrderId = Annotated[int, Path(gt=0, lt=2**63)]
Seconds = Annotated[float, Query(ge=0, le=366 * 86_400)]

CREATE = """
    create table if not exists reminders (
        order_id integer primary key, due real, status text)
"""
PLAN = """
    insert into reminders values (:order_id, :due, 'waiting')
    on conflict do update set due = :due, status = 'waiting' where status <> 'running'
    returning order_id
"""
CANCEL = """
    update reminders set status = 'cancelled'
    where order_id = :order_id and status = 'waiting' returning order_id
"""
CLAIM = """
    update reminders set status = 'running', due = :lease where order_id = (
        select order_id from reminders
        where status in ('waiting', 'running') and due <= :now order by due limit 1)
    returning order_id, due
"""
FINISH = "update reminders set status = 'sent' where order_id = ? and due = ?"


def execute(statement: str, values: Any = ()) -> tuple[int, float] | None:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        rows = database.execute(statement, values).fetchall()
        return rows[0] if rows else None


def claim() -> tuple[int, float] | None:
    now = time.time()
    return execute(CLAIM, {"now": now, "lease": now + LEASE})


def work(stop: threading.Event) -> None:
    while not stop.wait(0.1):
        try:
            while not stop.is_set() and (claimed := claim()):
                print(f"remind: order {claimed[0]} started", flush=True)
                time.sleep(0.5)  # stands in for a mail server
                print(f"remind: order {claimed[0]} done", flush=True)
                execute(FINISH, claimed)  # if no other has claimed it since
        except Exception:
            logging.exception("tried again when its lease is over")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    stop = threading.Event()
    worker = threading.Thread(target=work, args=[stop])
    worker.start()
    yield
    stop.set()
    worker.join()


app = FastAPI(lifespan=lifespan)


@app.put("/orders/{order_id}/reminder", status_code=202, responses={409: {}})
def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    if not execute(PLAN, {"order_id": order_id, "due": time.time() + seconds}):
        raise HTTPException(409, f"The reminder of order {order_id} is being sent.")
    return {"message": f"You will be reminded in {seconds:g} seconds"}


@app.delete("/orders/{order_id}/reminder", status_code=204, responses={409: {}})
def cancel(order_id: OrderId) -> None:
    if not execute(CANCEL, {"order_id": order_id}):
        raise HTTPException(409, f"No reminder of order {order_id} waits.")
