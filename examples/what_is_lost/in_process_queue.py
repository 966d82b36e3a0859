"""Ten workers take the jobs from a queue in memory, which is gone with the process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path

queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()


async def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    await asyncio.sleep(5 if item == "slow" else 0.05)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done", flush=True)


async def work() -> None:
    while True:
        order = await queue.get()
        try:
            await send_receipt(*order)
        except Exception:
            logging.exception("order %s", order)  # or this worker ends


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    workers = [asyncio.create_task(work()) for _ in range(10)]
    yield
    for worker in workers:
        worker.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{item}", status_code=202)
async def create_order(
    order_id: Annotated[int, Path(gt=0, lt=2**31)], item: str
) -> dict[str, str]:
    queue.put_nowait((order_id, item))
    return {"message": f"A receipt for {item} will be sent"}
