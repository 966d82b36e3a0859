"""An http middleware is done before the tasks, an ASGI middleware after them."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import BackgroundTasks, FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send


async def send_receipt() -> None:
    print("send_receipt: started")
    await asyncio.sleep(0.5)  # stands in for a slow mail server
    print("send_receipt: done")


class Timing:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            print("ASGI middleware: the app has returned")


app = FastAPI()
app.add_middleware(Timing)


@app.middleware("http")
async def timing(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    print("http middleware: call_next has returned")
    return response


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
