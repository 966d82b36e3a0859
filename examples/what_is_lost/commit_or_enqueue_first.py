"""The power fails between the commit and the queue: one of the two is missing then."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from tempfile import gettempdir
from typing import Annotated

import aio_pika
from fastapi import FastAPI, HTTPException, Path
from fastapi.concurrency import run_in_threadpool

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1/")
DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/orders.db")
POWER_FAILS = "POWER_FAILS" in os.environ
OrderId = Annotated[int, Path(gt=0, lt=2**31)]


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as connection, connection:
        yield connection


with transaction() as connection:
    connection.execute("create table if not exists orders (id primary key)")
    connection.execute("create table if not exists jobs (order_id primary key)")
app = FastAPI()


def power() -> None:
    if POWER_FAILS:
        os.kill(os.getpid(), signal.SIGKILL)


def save(order: int) -> None:
    with transaction() as connection:
        connection.execute("insert or ignore into orders values (?)", [order])


async def enqueue(order: int) -> None:
    message = aio_pika.Message(b"%d" % order, delivery_mode=2)
    try:
        async with await aio_pika.connect(RABBITMQ, timeout=5) as connection:
            channel = await connection.channel()
            await channel.declare_queue("placed", durable=True)
            await channel.default_exchange.publish(message, "placed", timeout=5)
    except (aio_pika.exceptions.AMQPError, OSError):
        raise HTTPException(503, "The queue does not answer.") from None


@app.post("/commit-first/{order}", responses={503: {}})
async def commit_first(order: OrderId) -> dict[str, int]:
    await run_in_threadpool(save, order)
    power()
    await enqueue(order)
    return {"order": order}


@app.post("/enqueue-first/{order}", responses={503: {}})
async def enqueue_first(order: OrderId) -> dict[str, int]:
    await enqueue(order)
    power()
    await run_in_threadpool(save, order)
    return {"order": order}


@app.post("/in-one-transaction/{order}")
def in_one_transaction(order: OrderId) -> dict[str, int]:
    with transaction() as connection:
        connection.execute("insert or ignore into orders values (?)", [order])
        power()
        connection.execute("insert or ignore into jobs values (?)", [order])
    return {"order": order}
