"""A consumer connects again when the broker goes, and gives back what it has not done."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aio_pika
from fastapi import FastAPI

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1/")
logger = logging.getLogger(__name__)


async def send_receipt(order: str) -> None:
    print(f"send_receipt: {order} started")
    await asyncio.sleep(2 if order == "slow" else 0.2)  # stands in for a mail server
    print(f"send_receipt: {order} done")


async def consume() -> None:
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(10):  # for a broker that stops answering
            connection = await aio_pika.connect(RABBITMQ, timeout=5)
            await stack.enter_async_context(connection)
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1)
            queue = await channel.declare_queue("paid", durable=True)
            messages = await stack.enter_async_context(queue.iterator())
        print("consume: listens")
        async for message in messages:
            async with message.process(requeue=True):
                await send_receipt(message.body.decode())


async def consume_for_ever() -> None:
    while True:  # aio-pika raises CancelledError too, which is no Exception
        (error,) = await asyncio.gather(consume(), return_exceptions=True)
        logger.error("the broker has gone, or a message failed", exc_info=error)
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
