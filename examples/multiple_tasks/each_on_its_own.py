"""A wrapper logs what a task raises, so the tasks after it still run."""

import logging
import time
from collections.abc import Callable
from typing import ParamSpec

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
logger = logging.getLogger(__name__)
P = ParamSpec("P")


def log_failure(task: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        task(*args, **kwargs)
    except Exception:
        name = getattr(task, "__name__", task)  # a partial has none
        logger.exception("background task %s failed", name)


def send_welcome_email(email: str) -> None:
    print(f"send_welcome_email: {email}")
    time.sleep(0.5)  # stands in for a mail server that takes its time to refuse
    raise ConnectionError("the mail server refused the connection")


def create_thumbnail(user_id: int) -> None:
    time.sleep(0.5)  # stands in for an image library
    print(f"create_thumbnail: user {user_id}")


@app.post("/multi-task")
async def create_multiple_tasks(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(log_failure, send_welcome_email, "ada@example.com")
    background_tasks.add_task(log_failure, create_thumbnail, user_id=1)
    return {"message": "Multiple tasks have been queued"}
