"""DBOS keeps workflows in SQLite: after a crash each goes on after its last finished step."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import gettempdir
from typing import Annotated

from dbos import DBOS, DBOSConfig, SetWorkflowID
from fastapi import FastAPI, HTTPException, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/workflows.db")
EXECUTOR = os.environ.get("EXECUTOR", "1")  # one per process, the same after a restart
VERSION = os.environ.get("VERSION", "1")  # another one leaves the old one's jobs behind
RowId = Annotated[int, Path(gt=0, lt=2**63)]

config: DBOSConfig = {
    "name": "shop",
    "system_database_url": f"sqlite:///{DATABASE}",
    "executor_id": EXECUTOR,
    "application_version": VERSION,
    "run_migrations": True,
    "log_level": "WARNING",
}
DBOS(config=config)


@DBOS.step()
async def reserve(item: str, order_id: int) -> None:
    print(f"reserve: order {order_id} started", flush=True)
    await asyncio.sleep(0.02)  # stands in for a stock service


@DBOS.step(retries_allowed=True, max_attempts=3, interval_seconds=0.2)
async def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    await asyncio.sleep(8 if item == "slow" else 0.05)  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: order {order_id} done", flush=True)


@DBOS.workflow()
async def fulfil(order_id: int, item: str) -> None:
    await reserve(item, order_id)
    await send_receipt(order_id, item)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    DBOS.launch()
    await DBOS.register_queue_async(
        "orders", worker_concurrency=10, polling_interval_sec=0.1
    )
    yield
    await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=20)


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{item}", status_code=202)
async def create_order(order_id: RowId, item: str) -> dict[str, str]:
    with SetWorkflowID(f"order-{order_id}"):  # the second time it is the same workflow
        handle = await DBOS.enqueue_workflow_async("orders", fulfil, order_id, item)
    return {"job": handle.workflow_id}


@app.get("/jobs/{job_id}", responses={404: {}})
async def read_job(job_id: str) -> dict[str, str | None]:
    job = await DBOS.get_workflow_status_async(job_id)
    if not job:
        raise HTTPException(404, f"There is no job {job_id}.")
    error = repr(job.error) if job.error else None  # for you, not for clients
    return {"status": job.status, "error": error}
