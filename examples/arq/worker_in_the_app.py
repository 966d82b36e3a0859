"""An arq worker in the app's lifespan; it leaves Ctrl+C to uvicorn."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from arq import Worker, create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI
from redis.exceptions import RedisError

REDIS = RedisSettings.from_dsn(os.environ.get("REDIS", "redis://127.0.0.1:6379"))


async def send_receipt(_context: dict[Any, Any], order_id: int) -> None:
    await asyncio.sleep(0.1)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done")


def end_the_app(worker: asyncio.Task[None]) -> None:
    if not worker.cancelled() and (error := worker.exception()):
        logging.error("the worker has ended", exc_info=error)
        signal.raise_signal(signal.SIGTERM)  # whoever starts the app starts both


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = await create_pool(REDIS)
    worker = Worker(
        [send_receipt],
        redis_pool=app.state.queue,
        handle_signals=False,
    )
    running = asyncio.create_task(worker.async_run())
    running.add_done_callback(end_the_app)
    yield
    with suppress(asyncio.CancelledError, RedisError):
        await worker.close()
        await running
    print("lifespan: ended")


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}", status_code=202)
async def create_order(order_id: int) -> dict[str, int]:
    await app.state.queue.enqueue_job("send_receipt", order_id)
    return {"order": order_id}
