"""A handler for Exception is called for a failed task; what it returns is dropped."""

import time

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import JSONResponse

app = FastAPI()


@app.exception_handler(Exception)
async def report_exception(request: Request, error: Exception) -> JSONResponse:
    print(f"report_exception: {request.method} {request.url.path}: {error!r}")
    return JSONResponse({"detail": "internal error"}, status_code=500)


def send_receipt() -> None:
    time.sleep(0.2)  # stands in for a slow mail server
    raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
