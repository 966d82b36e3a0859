"""A middleware adds a task of its own to every response; it runs first."""

import time
from collections.abc import Awaitable, Callable

from fastapi import BackgroundTasks, FastAPI, Request, Response
from starlette.background import BackgroundTask

app = FastAPI()


def write_audit_log(path: str, status: int) -> None:
    time.sleep(0.2)  # stands in for a slow disk
    print(f"write_audit_log: {path} {status}")


def send_receipt() -> None:
    time.sleep(0.2)  # stands in for a slow mail server
    print("send_receipt: done")


@app.middleware("http")
async def audit(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.background = BackgroundTask(
        write_audit_log, request.url.path, response.status_code
    )
    return response


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
