"""An ASGI middleware sees a failing task, after the response; an http middleware does not."""

from fastapi import BackgroundTasks, FastAPI, Request, Response
from starlette.middleware.base import RequestResponseEndpoint
from starlette.types import ASGIApp, Receive, Scope, Send

app = FastAPI()


def send_receipt() -> None:
    raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
async def create_order(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}


@app.middleware("http")
async def watch(request: Request, call_next: RequestResponseEndpoint) -> Response:
    try:
        response = await call_next(request)
    except ConnectionError:
        print("http middleware: the task has failed")
        raise
    print("http middleware: nothing has failed")
    return response


class Watch:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except ConnectionError as error:
            print(f"ASGI middleware: {scope['path']}: {error}")
            raise


app.add_middleware(Watch)
