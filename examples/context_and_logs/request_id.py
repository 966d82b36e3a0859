"""Every line that is logged for a request carries its id, the lines of its tasks too."""

import logging
import time
from contextvars import ContextVar
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

request_id: ContextVar[str] = ContextVar("request_id", default="-")
logger = logging.getLogger("orders")


def add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    return True


logging.basicConfig(level="INFO", format="[%(request_id)s] %(message)s")
logging.getLogger().handlers[0].addFilter(add_request_id)


class RequestId:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id.set(uuid4().hex[:8])
        await self.app(scope, receive, send)


app = FastAPI()
app.add_middleware(RequestId)


def send_receipt() -> None:
    time.sleep(1)  # stands in for a slow mail server
    logger.info("send_receipt: done")


@app.post("/orders")
async def create_order(tasks: BackgroundTasks) -> None:
    logger.info("create_order: done")
    tasks.add_task(send_receipt)
