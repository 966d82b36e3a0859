"""arq: a delayed job waits in Redis; its id is free again when its result is forgotten."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job, JobStatus
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request

REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]


async def remind(context: dict[Any, Any], order_id: int) -> None:
    print(f"remind: order {order_id}", flush=True)  # stands in for a mail


class WorkerSettings:
    functions = (remind,)
    redis_settings = RedisSettings.from_dsn(REDIS)
    allow_abort_jobs = os.environ.get("ALLOW_ABORT", "yes") == "yes"
    keep_result = int(os.environ.get("KEEP_RESULT", "3600"))  # seconds; arq's default


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = await create_pool(WorkerSettings.redis_settings)
    yield
    await app.state.queue.aclose()


app = FastAPI(lifespan=lifespan)


def get_queue(request: Request) -> Any:
    return request.app.state.queue


Queue = Annotated[ArqRedis, Depends(get_queue)]


@app.post("/orders/{order_id}/reminders", status_code=202, responses={409: {}})
async def plan(
    order_id: OrderId, queue: Queue, seconds: Seconds = 600
) -> dict[str, str]:
    name = f"order-{order_id}"
    job = await queue.enqueue_job("remind", order_id, _job_id=name, _defer_by=seconds)
    if not job:
        raise HTTPException(409, f"Order {order_id} has its reminder.")
    return {"job": job.job_id}


@app.delete("/reminders/{job_id}", status_code=202, responses={404: {}, 504: {}})
async def cancel(job_id: str, queue: Queue) -> dict[str, bool]:
    job = Job(job_id, queue)
    if await job.status() in (JobStatus.not_found, JobStatus.complete):
        raise HTTPException(404, f"No reminder {job_id} waits.")
    try:
        return {"cancelled": await job.abort(timeout=3)}
    except TimeoutError:
        raise HTTPException(504, "No worker has answered.") from None
