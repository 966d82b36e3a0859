"""Behind an http middleware the task waits until the client has read a large body."""

from collections.abc import Awaitable, Callable

from fastapi import BackgroundTasks, FastAPI, Request, Response

app = FastAPI()

EXPORT = b"id,total\n" + b"1001,25.90\n" * 3_000_000  # 33 MB


@app.middleware("http")
async def allow_any_origin(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers["access-control-allow-origin"] = "*"
    return response


def record_download() -> None:
    print("record_download: the server has the whole response")


@app.get("/export")
async def export(background_tasks: BackgroundTasks) -> Response:
    background_tasks.add_task(record_download)
    return Response(EXPORT, media_type="text/csv")
