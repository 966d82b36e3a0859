"""Celery calls an `async def` task and awaits nothing: it succeeds, and nothing was done."""

import asyncio
import os

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)


async def deliver(item: str) -> None:
    print(f"deliver: {item} started", flush=True)
    await asyncio.sleep(0.1)  # stands in for a mail server
    print(f"deliver: {item} done", flush=True)


@queue.task
async def send_and_never_await(item: str) -> None:
    await deliver(item)


@queue.task
def send_receipt(item: str) -> None:
    asyncio.run(deliver(item))


app = FastAPI()


@app.post("/async-def/{item}", status_code=202)
def create_order_of_async_def(item: str) -> dict[str, str]:
    return {"job": send_and_never_await.delay(item).id}


@app.post("/def/{item}", status_code=202)
def create_order(item: str) -> dict[str, str]:
    return {"job": send_receipt.delay(item).id}


@app.get("/jobs/{job_id}", responses={500: {}})
def read_job(job_id: str) -> dict[str, str]:
    return {"status": queue.AsyncResult(job_id).status}
