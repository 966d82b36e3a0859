"""A connection made before the fork is shared: jobs read the answers to each other's queries."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_init
from fastapi import FastAPI
from sqlalchemy import create_engine, text

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
POSTGRESQL = os.environ.get("POSTGRESQL", "postgresql+psycopg://127.0.0.1/shop")
queue = Celery("shop", broker=BROKER)
engine = create_engine(POSTGRESQL)


@worker_init.connect
def check_database(**_: Any) -> None:
    with engine.connect() as connection:
        connection.execute(text("select 1"))  # stands in for a look at the schema


@queue.task
def count_orders(day: str) -> None:
    query = text("select :day from pg_sleep(0.1)")  # stands in for a count
    with engine.connect() as connection:
        answer = connection.scalar(query, {"day": day})
    print(f"count_orders: of {day} it reads that of {answer}", flush=True)


app = FastAPI()


@app.post("/reports/{day}", status_code=202)
def create_report(day: str) -> dict[str, str]:
    return {"job": count_orders.delay(day).id}
