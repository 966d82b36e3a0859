"""Dramatiq: a delayed message cannot be taken back, so the job looks at its row first."""

import os
import sqlite3
from contextlib import closing
from tempfile import gettempdir
from typing import Annotated

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.errors import BrokerConnectionError
from fastapi import FastAPI, HTTPException, Path, Query
from pika.adapters.utils.connection_workflow import AMQPConnectorException

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/reminders.db")
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]

LIMITS = "heartbeat=5&stack_timeout=3"  # seconds, for a RabbitMQ that does not answer
dramatiq.set_broker(RabbitmqBroker(url=f"{RABBITMQ}?{LIMITS}", confirm_delivery=True))


def change(statement: str, *values: object) -> int:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        return database.execute(statement, values).rowcount


change("create table if not exists reminders (id integer primary key, status text)")


@dramatiq.actor
def remind(order_id: int) -> None:
    sends = """
        update reminders set status = 'sending'
        where id = ? and status in ('waiting', 'sending')
    """
    if change(sends, order_id):
        print(f"remind: order {order_id}", flush=True)  # stands in for a mail
        change("update reminders set status = 'sent' where id = ?", order_id)
    else:
        print(f"nothing to do for order {order_id}", flush=True)


app = FastAPI()


@app.post("/orders/{order_id}/reminders", status_code=202, responses={409: {}, 503: {}})
def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, int]:
    new = "insert into reminders values (?, 'waiting') on conflict do nothing"
    if not change(new, order_id):
        raise HTTPException(409, f"Order {order_id} has its reminder.")
    try:
        remind.send_with_options(args=[order_id], delay=int(seconds * 1000))
    except (BrokerConnectionError, AMQPConnectorException):
        change("delete from reminders where id = ? and status = 'waiting'", order_id)
        raise HTTPException(503, "Reminders cannot be taken right now.") from None
    return {"job": order_id}


@app.delete("/reminders/{job_id}", status_code=204, responses={409: {}})
def cancel(job_id: OrderId) -> None:
    takes = (
        "update reminders set status = 'cancelled' where id = ? and status = 'waiting'"
    )
    if not change(takes, job_id):
        raise HTTPException(409, f"No reminder {job_id} waits.")
