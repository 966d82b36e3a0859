"""A job that blocks: as async def it holds up all others of its worker, as def it takes a thread."""

import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import current_thread
from typing import Annotated

from fastapi import FastAPI, Path
from taskiq_aio_pika import AioPikaBroker, Queue

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
Number = Annotated[int, Path(gt=0, lt=2**31)]
logging.basicConfig(level="INFO")  # a worker of Python 3.14 has no other

broker = AioPikaBroker(
    RABBITMQ,
    task_queues=[Queue(name="labels")],
    dead_letter_queue=Queue(name="labels.dead"),
    delay_queue=Queue(name="labels.delay"),
)


@broker.task
async def print_label_on_the_loop(number: int) -> None:
    print(f"label {number}: started in {current_thread().name}", flush=True)
    time.sleep(2)  # stands in for a library that blocks
    print(f"label {number}: done", flush=True)


@broker.task
def print_label(number: int) -> None:
    print(f"label {number}: started in {current_thread().name}", flush=True)
    time.sleep(2)  # stands in for a library that blocks
    print(f"label {number}: done", flush=True)


@broker.task
async def ring(number: int) -> None:
    print(f"ring: {number}", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/labels-on-the-loop/{number}", status_code=202)
async def create_label_on_the_loop(number: Number) -> dict[str, str]:
    return {"job": (await print_label_on_the_loop.kiq(number)).task_id}


@app.post("/labels/{number}", status_code=202)
async def create_label(number: Number) -> dict[str, str]:
    return {"job": (await print_label.kiq(number)).task_id}


@app.post("/bells/{number}", status_code=202)
async def create_bell(number: Number) -> dict[str, str]:
    return {"job": (await ring.kiq(number)).task_id}
