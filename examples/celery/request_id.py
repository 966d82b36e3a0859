"""The id of a request in each line that its Celery jobs log, also those they send."""

import logging
import os
from contextvars import ContextVar
from typing import Annotated, Any
from uuid import uuid4

from celery import Celery
from celery.signals import before_task_publish, task_prerun
from celery.utils.log import get_task_logger
from fastapi import Depends, FastAPI, Header

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
ID = r"^[\w-]{1,64}$"

request_id = ContextVar("request_id", default="-")
make_record = logging.getLogRecordFactory()


def make_record_with_id(*args: Any, **named: Any) -> logging.LogRecord:
    record = make_record(*args, **named)
    record.request_id = request_id.get()
    return record


logging.setLogRecordFactory(make_record_with_id)
logger = get_task_logger("shop")
queue = Celery("shop", broker=BROKER)
queue.conf.worker_task_log_format = "[%(request_id)s] %(message)s"


@before_task_publish.connect
def send_id(headers: dict[str, Any], **_: Any) -> None:
    headers["request_id"] = request_id.get()


@task_prerun.connect
def take_id(task: Any, **_: Any) -> None:
    request_id.set(getattr(task.request, "request_id", "-"))


@queue.task(autoretry_for=[ConnectionError], max_retries=1, default_retry_delay=1)
def send_receipt(item: str) -> None:
    logger.info("send_receipt: started")
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    count_sale.delay(item)


@queue.task
def count_sale(item: str) -> None:
    logger.info("count_sale: %s", item)


async def set_id(
    x_request_id: Annotated[str | None, Header(pattern=ID)] = None,
) -> None:
    request_id.set(x_request_id or uuid4().hex)


app = FastAPI(dependencies=[Depends(set_id)])


@app.post("/orders/{item}", status_code=202)
def create_order(item: str) -> dict[str, str]:
    send_receipt.delay(item)
    return {"request": request_id.get()}
