"""The app logs in this format; the worker takes it away, and calls what is printed a WARNING."""

import logging
import os

from celery import Celery
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)
log = logging.getLogger("shop")
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


@queue.task
def send_receipt(item: str) -> None:
    print(f"printed {item}", flush=True)
    log.info("logged %s", item)


app = FastAPI()


@app.post("/orders/{item}", status_code=202)
def create_order(item: str) -> dict[str, str]:
    log.info("ordered %s", item)
    return {"job": send_receipt.delay(item).id}
