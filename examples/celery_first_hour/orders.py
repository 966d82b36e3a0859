"""The row says that there is a job, Celery says how far it is, and the job reads its row."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

from celery import Celery
from fastapi import FastAPI, HTTPException, Path
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)
queue.conf.task_track_started = True
engine = create_engine(f"sqlite:///{os.environ.get('DATABASE', 'shop.db')}")


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]
    job: Mapped[str]
    done: Mapped[bool] = mapped_column(default=False)


@queue.task
def send_receipt(order_id: int) -> None:
    with Session(engine) as session:
        item = session.get_one(Order, order_id).item
    print(f"send_receipt: {item} started", flush=True)
    time.sleep(2)  # stands in for a mail server
    with Session(engine) as session, session.begin():
        session.get_one(Order, order_id).done = True
    print(f"send_receipt: {item} done", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{item}", status_code=202)
def create_order(item: str) -> dict[str, int]:
    with Session(engine) as session:
        order = Order(item=item, job=str(uuid4()))
        session.add(order)
        session.commit()
        send_receipt.apply_async([order.id], task_id=order.job)
        return {"order": order.id}


@app.get("/orders/{order_id}", responses={404: {}})
def read_order(order_id: Annotated[int, Path(gt=0, lt=2**31)]) -> dict[str, str | bool]:
    with Session(engine) as session:
        if not (order := session.get(Order, order_id)):
            raise HTTPException(404, "There is no such order.")
        job = queue.AsyncResult(order.job).status
        return {"item": order.item, "job": job, "done": order.done}
