"""What a task raises is logged, and Sentry reports what is logged as an exception."""

import logging
import os
from collections.abc import Callable
from typing import ParamSpec

import sentry_sdk
from fastapi import BackgroundTasks, FastAPI

sentry_sdk.init(dsn=os.environ.get("SENTRY_DSN"))
app = FastAPI()
logger = logging.getLogger(__name__)
P = ParamSpec("P")


def log_failure(task: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        task(*args, **kwargs)
    except Exception:
        name = getattr(task, "__name__", task)  # a partial has none
        logger.exception("background task %s failed", name)


def send_receipt(order_id: int) -> None:
    raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(log_failure, send_receipt, 7)
    return {"message": "Task has been queued"}
