"""On Lambda the client waits for the task; what `create_task` began waits for the next event."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI
from mangum import Mangum

exports: set[asyncio.Task[None]] = set()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan: begins")
    yield
    print("lifespan: ends")


app = FastAPI(lifespan=lifespan)
handler = Mangum(app)
without_lifespan = Mangum(app, lifespan="off")


async def send_receipt(item: str) -> None:
    print(f"send_receipt: {item} started")
    await asyncio.sleep(1)  # stands in for a mail server
    if item == "coffee":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: {item} done")


@app.post("/orders/{item}", status_code=202)
async def create_order(item: str, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt, item)
    return {"message": f"A receipt for {item} will be sent"}


async def export_pages() -> None:
    for page in range(1, 31):
        await asyncio.sleep(0.1)  # stands in for a slow query
        print(f"export_pages: page {page}")


@app.post("/exports", status_code=202)
async def start_export() -> None:
    export = asyncio.create_task(export_pages())
    exports.add(export)
    export.add_done_callback(exports.discard)


def watch_prices() -> None:
    for number in range(1, 31):
        time.sleep(0.1)  # stands in for a slow query
        print(f"watch_prices: price {number}")


@app.post("/prices", status_code=202)
async def start_watching() -> None:
    threading.Thread(target=watch_prices).start()
