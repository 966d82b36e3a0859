"""structlog writes a line of JSON with what was bound in the request, in tasks too."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import structlog
from fastapi import BackgroundTasks, FastAPI, Request, Response
from structlog.contextvars import bind_contextvars, clear_contextvars

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(sort_keys=True),
    ]
)
logger = structlog.get_logger()
app = FastAPI()


@app.middleware("http")
async def bind_request(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    clear_contextvars()
    request_id = request.headers.get("x-request-id", uuid4().hex[:8])
    bind_contextvars(path=request.url.path, request_id=request_id)
    return await call_next(request)


def send_receipt(order_id: int) -> None:
    logger.info("receipt sent", task="send_receipt", order_id=order_id)


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, int]:
    logger.info("order created", order_id=7)
    background_tasks.add_task(send_receipt, 7)
    return {"id": 7}
