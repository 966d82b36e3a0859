"""A reminder is a row with its time: it survives a kill, and cancelling it is an UPDATE."""

import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query
from sqlalchemy import create_engine, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/reminders.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds; longer than any reminder takes
OrderId = Annotated[int, Path(gt=0, lt=2**63)]
Seconds = Annotated[float, Query(ge=0, le=366 * 86_400)]
engine = create_engine(f"sqlite:///{DATABASE}", connect_args={"timeout": 30})


class Table(DeclarativeBase):
    pass


class Reminder(Table):
    __tablename__ = "reminders"
    order_id: Mapped[int] = mapped_column(primary_key=True)
    due: Mapped[float]
    status: Mapped[str]


Table.metadata.create_all(engine)


def change(statement: Any) -> Reminder | None:
    with Session(engine, expire_on_commit=False) as session:
        reminder: Reminder | None = session.scalar(statement.returning(Reminder))
        session.commit()
    return reminder


def claim() -> Reminder | None:
    now = time.time()
    ready = Reminder.status.in_(["waiting", "running"]), Reminder.due <= now
    oldest = select(Reminder.order_id).where(*ready).order_by(Reminder.due).limit(1)
    taken = update(Reminder).where(Reminder.order_id == oldest.scalar_subquery())
    return change(taken.values(status="running", due=now + LEASE))


def work(stop: threading.Event) -> None:
    while not stop.wait(0.1):
        try:
            while not stop.is_set() and (reminder := claim()):
                order_id, lease = reminder.order_id, reminder.due
                print(f"remind: order {order_id} started", flush=True)
                time.sleep(0.1)  # stands in for a mail server
                print(f"remind: order {order_id} done", flush=True)
                mine = Reminder.order_id == order_id, Reminder.due == lease
                change(update(Reminder).where(*mine).values(status="done"))
        except Exception:  # it is tried again when its lease is over
            logging.exception("reminders")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    stop = threading.Event()
    worker = threading.Thread(target=work, args=[stop])
    worker.start()
    yield
    stop.set()
    worker.join()


app = FastAPI(lifespan=lifespan)


@app.put("/orders/{order_id}/reminder", status_code=202, responses={409: {}})
def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    values = {"due": time.time() + seconds, "status": "waiting"}
    new = insert(Reminder).values(order_id=order_id, **values)
    idle = Reminder.status != "running"
    if not change(new.on_conflict_do_update(set_=values, where=idle)):
        raise HTTPException(409, f"The reminder of order {order_id} is being sent.")
    return {"message": f"You will be reminded in {seconds:g} seconds"}


@app.delete("/orders/{order_id}/reminder", status_code=204, responses={409: {}})
def cancel(order_id: OrderId) -> None:
    waits = Reminder.order_id == order_id, Reminder.status == "waiting"
    if not change(update(Reminder).where(*waits).values(status="cancelled")):
        raise HTTPException(409, f"No reminder of order {order_id} waits.")
