"""Two middlewares read the body, and the endpoint gets it from each of them."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from starlette.background import BackgroundTask
from starlette.types import ASGIApp, Message, Receive, Scope, Send

app = FastAPI()


async def write_audit_log(body: bytes) -> None:
    print(f"write_audit_log: {body!r}")


@app.middleware("http")
async def audit(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    body = await request.body()  # not stream(), of which nothing is kept
    response = await call_next(request)
    response.background = BackgroundTask(write_audit_log, body)
    return response


class Measure:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = await Request(scope, receive).body()
        print(f"Measure: {len(body)} bytes")
        messages: list[Message] = [{"type": "http.request", "body": body}]

        async def receive_again() -> Message:
            return messages.pop() if messages else await receive()

        await self.app(scope, receive_again, send)


app.add_middleware(Measure)


@app.post("/orders")
async def create_order(request: Request) -> dict[str, str]:
    body = await request.body()
    return {"ordered": body.decode(errors="replace")}
