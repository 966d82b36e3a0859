"""Taskiq on RabbitMQ: a delayed message is in a queue whose head holds up the rest."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path, Query
from taskiq_aio_pika import AioPikaBroker, Queue

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]
logging.basicConfig(level="INFO")  # a worker of Python 3.14 has no other

broker = AioPikaBroker(
    RABBITMQ,
    task_queues=[Queue(name="reminders")],
    dead_letter_queue=Queue(name="reminders.dead"),
    delay_queue=Queue(name="reminders.delay"),
)


@broker.task
async def remind(order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/reminders", status_code=202)
async def plan(order_id: OrderId, seconds: Seconds = 600) -> dict[str, str]:
    job = await remind.kicker().with_labels(delay=seconds).kiq(order_id)
    return {"job": job.task_id}
