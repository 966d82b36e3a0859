"""An async def actor runs on the worker's event loop, and holds a thread until it is done."""

import asyncio
import os
from threading import current_thread
from typing import Annotated

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import AsyncIO
from fastapi import FastAPI, Path

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
RowId = Annotated[int, Path(gt=0, lt=2**31)]

broker = RabbitmqBroker(url=RABBITMQ, confirm_delivery=True)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=2)
async def send_receipt(order_id: int) -> None:
    loop = current_thread().name
    print(f"send_receipt: order {order_id} started in {loop}", flush=True)
    await asyncio.sleep(0.5)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done", flush=True)


app = FastAPI()


@app.post("/orders/{order_id}", status_code=202)
def create_order(order_id: RowId) -> dict[str, str]:
    return {"job": send_receipt.send(order_id).message_id}
