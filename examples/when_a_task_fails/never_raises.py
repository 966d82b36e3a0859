"""A wrapper for def and async def tasks logs what they raise and lets nothing out."""

import logging
import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import ParamSpec

from fastapi import BackgroundTasks, FastAPI
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
logger = logging.getLogger(__name__)
P = ParamSpec("P")


async def logged(
    task: Callable[P, None] | Callable[P, Awaitable[None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    try:
        if iscoroutinefunction(task):
            await task(*args, **kwargs)
        else:
            await run_in_threadpool(task, *args, **kwargs)
    except Exception:
        logger.exception("background task %s%r failed", task.__name__, args)


def send_receipt(order_id: int) -> None:
    time.sleep(0.2)  # stands in for a mail server that takes its time to refuse
    raise ConnectionError("the mail server refused the connection")


async def notify_warehouse(order_id: int) -> None:
    print(f"notify_warehouse: order {order_id}")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(logged, send_receipt, 7)
    background_tasks.add_task(logged, notify_warehouse, 7)
    return {"message": "Tasks have been queued"}
