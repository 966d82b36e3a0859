"""The worker logs in this format too: `setup_logging` has a receiver, so Celery sets up nothing."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging
from fastapi import FastAPI

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER)
log = logging.getLogger("shop")


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


configure_logging()


@queue.task
def send_receipt(item: str) -> None:
    print(f"printed {item}", flush=True)
    log.info("logged %s", item)


app = FastAPI()


@app.post("/orders/{item}", status_code=202)
def create_order(item: str) -> dict[str, str]:
    log.info("ordered %s", item)
    return {"job": send_receipt.delay(item).id}
