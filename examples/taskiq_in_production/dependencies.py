"""A job gets the app and what its lifespan has opened from a dependency, and nothing of a request."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import taskiq_fastapi
from fastapi import Depends, FastAPI, Path, Request
from taskiq import TaskiqDepends
from taskiq_aio_pika import AioPikaBroker, Queue

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
Number = Annotated[int, Path(gt=0, lt=2**31)]
logging.basicConfig(level="INFO")  # a worker of Python 3.14 has no other

broker = AioPikaBroker(
    RABBITMQ,
    task_queues=[Queue(name="parcels")],
    dead_letter_queue=Queue(name="parcels.dead"),
    delay_queue=Queue(name="parcels.delay"),
)
taskiq_fastapi.init(broker, f"{__name__}:app")


def get_shop(request: Annotated[Request, TaskiqDepends()]) -> str:
    shop: str = request.state.shop
    return shop


def get_language(request: Annotated[Request, TaskiqDepends()]) -> str:
    return request.headers.get("accept-language", "en")


@broker.task
async def pack(order: int, shop: str = TaskiqDepends(get_shop)) -> None:
    print(f"pack: order {order} of {shop}", flush=True)


@broker.task
async def greet(order: int, tongue: str = TaskiqDepends(get_language)) -> None:
    print(f"greet: order {order} in {tongue}", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    if not broker.is_worker_process:  # there it is started already
        await broker.startup()
    yield {"shop": "the tea shop"}
    if not broker.is_worker_process:
        await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/parcels/{order}", status_code=202)
async def create_parcel(
    order: Number, shop: Annotated[str, Depends(get_shop)]
) -> dict[str, str]:
    await pack.kiq(order)
    return {"shop": shop}


@app.post("/greetings/{order}", status_code=202)
async def create_greeting(order: Number) -> None:
    await greet.kiq(order)
