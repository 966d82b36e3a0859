"""A wrapper for every kind of task logs what it raises and lets nothing out."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from fastapi import BackgroundTasks, FastAPI
from starlette.background import BackgroundTask

app = FastAPI()
logger = logging.getLogger(__name__)
P = ParamSpec("P")


async def logged(
    task: Callable[P, None] | Callable[P, Awaitable[None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    try:
        await BackgroundTask(task, *args, **kwargs)()  # as add_task would run it
    except Exception:
        name = getattr(task, "__name__", task)  # a partial has none
        logger.exception("background task %s%r failed", name, args)


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
