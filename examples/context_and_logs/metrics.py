"""Counters that all workers share, if they are given a folder for them."""

import os

from fastapi import BackgroundTasks, FastAPI, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

app = FastAPI()
sent = Counter("receipts_sent", "Receipts that have been sent")


def send_receipt() -> None:
    sent.inc()


@app.post("/orders")
async def create_order(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}


@app.get("/metrics")
def read_metrics() -> Response:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
