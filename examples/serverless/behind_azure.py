"""On Azure Functions the client waits for the task, and one that fails is a request that failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from azure.functions import AsgiFunctionApp, AuthLevel
from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan: begins")
    yield
    print("lifespan: ends")


app = FastAPI(lifespan=lifespan)
function_app = AsgiFunctionApp(app, AuthLevel.ANONYMOUS)


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
