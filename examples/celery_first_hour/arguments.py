"""A model does not go through JSON; `model_dump()` does, and UUID, datetime and Decimal too."""

import os
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)


class Order(BaseModel):
    id: UUID
    placed: datetime
    price: Decimal


@queue.task
def send_receipt(order: Any) -> None:
    print(f"send_receipt: {order!r}", flush=True)


@queue.task(pydantic=True)
def send_typed_receipt(order: Order) -> None:
    print(f"send_typed_receipt: {order!r}", flush=True)


app = FastAPI()


@app.post("/model", status_code=202, responses={500: {}})
def pass_the_model(order: Order) -> dict[str, str]:
    return {"job": send_receipt.delay(order).id}


@app.post("/dump", status_code=202)
def pass_the_dump(order: Order) -> dict[str, str]:
    return {"job": send_receipt.delay(order.model_dump()).id}


@app.post("/typed", status_code=202)
def pass_to_a_typed_task(order: Order) -> dict[str, str]:
    return {"job": send_typed_receipt.delay(order).id}
