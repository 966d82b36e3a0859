"""A job is acknowledged when it is done: if its worker dies, another one gets it."""

import asyncio
import logging
import os
import signal
import time

import taskiq_fastapi
from pamqp.common import FieldTable
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from taskiq import (
    AsyncBroker,
    InMemoryBroker,
    SmartRetryMiddleware,
    TaskiqDepends,
    TaskiqScheduler,
)
from taskiq.middlewares.opentelemetry_middleware import OpenTelemetryMiddleware
from taskiq.schedule_sources import LabelScheduleSource
from taskiq_aio_pika import AioPikaBroker, Queue

from . import tracing as tracing  # before the middleware asks for a tracer
from .database import Order, get_session, later

RABBITMQ = os.environ.get("RABBITMQ", "amqp://guest:guest@127.0.0.1:5672/%2F")
SWEEP = os.environ.get("SWEEP", "*/5 * * * *")
ATTEMPTS = 3
AT_LEAST_ONCE: FieldTable = {
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}
logging.basicConfig(level="INFO")  # a worker of Python 3.14 has no other


def create_broker() -> AsyncBroker:
    if os.environ.get("ENVIRONMENT") == "test":
        return InMemoryBroker()
    limit: FieldTable = {"x-delivery-limit": ATTEMPTS, **AT_LEAST_ONCE}
    return AioPikaBroker(
        RABBITMQ,
        task_queues=[Queue(name="receipts", arguments=limit)],
        dead_letter_queue=Queue(name="receipts.dead"),
        delay_queue=Queue(name="receipts.delay", arguments=AT_LEAST_ONCE),
    )


broker = create_broker()
broker.add_middlewares(
    OpenTelemetryMiddleware(),
    SmartRetryMiddleware(
        default_retry_count=ATTEMPTS, default_delay=1, use_delay_exponent=True
    ),
)
taskiq_fastapi.init(broker, f"{__package__}.app:app")
scheduler = TaskiqScheduler(broker, [LabelScheduleSource(broker)])


@broker.task(retry_on_error=True)
async def send_receipt(
    order_id: int, session: AsyncSession = TaskiqDepends(get_session)
) -> None:
    order = await session.get(Order, order_id)
    if not order:
        raise LookupError(f"order {order_id} is not committed yet, or never")
    if order.receipt == "sent":
        print(f"send_receipt: order {order_id} has its receipt", flush=True)
        return
    order.attempts, order.due = order.attempts + 1, later()
    await session.commit()
    try:
        await send_mail(order)
    except Exception as error:
        order.receipt = "waiting" if order.attempts < ATTEMPTS else "failed"
        order.error = repr(error)
        await session.commit()
        raise
    order.receipt, order.error = "sent", None
    await session.commit()


async def send_mail(order: Order) -> None:
    print(f"send_receipt: order {order.id} started", flush=True)
    if order.item == "refused":
        raise ConnectionError("the mail server refused the connection")
    if order.item == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
    await asyncio.sleep(2 if order.item == "slow" else 0.05)  # a mail server
    print(f"send_receipt: order {order.id} done", flush=True)


@broker.task(schedule=[{"cron": SWEEP}])
async def send_forgotten(session: AsyncSession = TaskiqDepends(get_session)) -> None:
    forgotten = (Order.receipt == "waiting") & (Order.due < time.time())
    died = update(Order).where(forgotten, Order.attempts > ATTEMPTS)
    await session.execute(died.values(receipt="failed", error="its worker died"))
    again = update(Order).where(forgotten).values(due=later()).returning(Order.id)
    async with asyncio.timeout(60):  # or a RabbitMQ that blocks holds the rows
        for order_id in (await session.scalars(again)).all():
            await send_receipt.kiq(order_id)
            print(f"send_forgotten: order {order_id}", flush=True)
    await session.commit()
