"""A handler answers the error with a response that brings a task of its own."""

import time

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

app = FastAPI()


class OutOfStock(Exception):
    """There is nothing left of an item."""

    def __init__(self, item: str) -> None:
        self.item = item


def reorder(item: str) -> None:
    time.sleep(0.2)  # stands in for a slow service
    print(f"reorder: {item}")


def send_receipt(item: str) -> None:
    print(f"send_receipt: {item}")


@app.exception_handler(OutOfStock)
async def answer_out_of_stock(request: Request, error: OutOfStock) -> JSONResponse:
    return JSONResponse(
        {"detail": f"{error.item} is out of stock"},
        status_code=409,
        background=BackgroundTask(reorder, error.item),
    )


@app.post("/orders/{item}", responses={409: {"description": "Out of stock"}})
async def create_order(item: str, background_tasks: BackgroundTasks) -> None:
    background_tasks.add_task(send_receipt, item)
    raise OutOfStock(item)
