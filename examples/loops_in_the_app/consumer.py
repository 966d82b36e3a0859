"""A consumer connects again when the broker goes, and gives back what it has not done."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from fastapi import FastAPI

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1/")
logger = logging.getLogger(__name__)


async def send_receipt(order: str) -> None:
    print(f"send_receipt: {order} started")
    await asyncio.sleep(2 if order == "slow" else 0.2)  # stands in for a mail server
    print(f"send_receipt: {order} done")


async def consume() -> None:
    async with await aio_pika.connect(RABBITMQ, timeout=5) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.declare_queue("paid", durable=True)
        print("consume: listens")
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process(requeue=True):
                    await send_receipt(message.body.decode())


async def consume_for_ever() -> None:
    while True:
        try:
            await consume()
        except Exception:
            logger.exception("the broker has gone, or a message could not be handled")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    consumer = asyncio.create_task(consume_for_ever())
    yield
    consumer.cancel()
    with suppress(asyncio.CancelledError):
        await consumer


app = FastAPI(lifespan=lifespan)


@app.get("/ping")
async def ping() -> str:
    return "pong"
