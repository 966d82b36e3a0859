"""The pool's process outlives a killed server for a moment; the jobs in its queue do not."""

import time
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Annotated

from fastapi import FastAPI, Path


def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    time.sleep(5 if item == "slow" else 0.02)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{item}", status_code=202)
async def create_order(
    order_id: Annotated[int, Path(gt=0, lt=2**31)], item: str
) -> dict[str, str]:
    app.state.pool.submit(send_receipt, order_id, item)
    return {"message": f"A receipt for {item} will be sent"}
