"""A Taskiq worker in the app's lifespan: no process beside uvicorn, and jobs that outlive it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker, Queue

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
Number = Annotated[int, Path(gt=0, lt=2**31)]

broker = AioPikaBroker(
    RABBITMQ,
    task_queues=[Queue(name="receipts")],
    dead_letter_queue=Queue(name="receipts.dead"),
    delay_queue=Queue(name="receipts.delay"),
)


@broker.task
async def send_receipt(order: int) -> None:
    print(f"send_receipt: order {order} started")
    await asyncio.sleep(2)  # stands in for a mail server
    print(f"send_receipt: order {order} done")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    broker.is_worker_process = True  # or it would connect to send only
    await broker.startup()
    worker = asyncio.create_task(run_receiver_task(broker))
    yield
    worker.cancel()
    await asyncio.wait([worker])
    await broker.shutdown()
    print("lifespan: ended")


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{number}", status_code=202)
async def create_order(number: Number) -> dict[str, str]:
    return {"job": (await send_receipt.kiq(number)).task_id}
