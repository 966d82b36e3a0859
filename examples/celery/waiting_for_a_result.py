"""`result.get()` in an `async def` endpoint stops the whole server until the job is done."""

import os
import time

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)
app = FastAPI()


@queue.task
def add(a: int, b: int) -> int:
    print("add: started", flush=True)
    time.sleep(1)  # stands in for slow work
    return a + b


@app.get("/async-def")
async def wait_on_the_event_loop() -> int:
    result: int = add.delay(1, 2).get(timeout=10)
    return result


@app.get("/def")
def wait_in_a_thread() -> int:
    result: int = add.delay(1, 2).get(timeout=10)
    return result


@app.get("/ping")
async def ping() -> str:
    return "pong"
