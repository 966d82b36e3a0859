"""A Dramatiq worker in the app's lifespan: threads beside the event loop, no process of its own."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from fastapi import FastAPI, Path

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
RowId = Annotated[int, Path(gt=0, lt=2**31)]

broker = RabbitmqBroker(url=RABBITMQ, confirm_delivery=True)
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=2)
def send_receipt(order_id: int) -> None:
    print(f"send_receipt: order {order_id} started")
    time.sleep(2)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    yield
    await asyncio.to_thread(worker.stop, timeout=20_000)  # milliseconds
    print("lifespan: ended")


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}", status_code=202)
def create_order(order_id: RowId) -> dict[str, str]:
    return {"job": send_receipt.send(order_id).message_id}
