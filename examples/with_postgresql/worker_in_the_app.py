"""Procrastinate's worker in the app's lifespan; it leaves Ctrl+C to uvicorn."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import FastAPI, Path
from procrastinate import App, PsycopgConnector

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
queue = App(
    connector=PsycopgConnector(conninfo=DATABASE, timeout=3, reconnect_timeout=3)
)


@queue.task
async def send_receipt(order_id: int) -> None:
    print(f"send_receipt: order {order_id} started")
    await asyncio.sleep(1)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done")


def end_the_app(worker: asyncio.Task[None]) -> None:
    if not worker.cancelled() and (error := worker.exception()):
        logging.error("the worker has ended", exc_info=error)
        signal.raise_signal(signal.SIGTERM)  # whoever starts the app starts both


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with queue.open_async():
        worker = asyncio.create_task(
            queue.run_worker_async(
                install_signal_handlers=False,
                shutdown_graceful_timeout=8,  # seconds; below the grace period
            )
        )
        worker.add_done_callback(end_the_app)
        yield
        worker.cancel()  # it ends when its jobs have ended, or at that limit
        with suppress(asyncio.CancelledError, Exception):
            await worker
    print("lifespan: ended")


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}", status_code=202)
async def create_order(
    order_id: Annotated[int, Path(gt=0, lt=2**31)],
) -> dict[str, int]:
    return {"job": await send_receipt.defer_async(order_id=order_id)}
