"""arq runs a killed worker's jobs again after `job_timeout` and ten seconds more."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from arq import Retry, create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job, JobStatus
from fastapi import Depends, FastAPI, HTTPException, Path, Request
from redis.exceptions import RedisError

REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")
LONGEST_JOB = int(os.environ.get("LONGEST_JOB", "300"))  # seconds
RowId = Annotated[int, Path(gt=0, lt=2**31)]


async def send_receipt(context: dict[Any, Any], order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    seconds = {"slow": 1, "endless": 3600}.get(item, 0.05)
    await asyncio.sleep(seconds)  # stands in for a mail server
    if item == "refused":
        raise Retry(defer=context["job_try"])  # any other exception ends the job
    print(f"send_receipt: order {order_id} done", flush=True)


class WorkerSettings:
    functions = (func(send_receipt, max_tries=3),)
    redis_settings = RedisSettings.from_dsn(REDIS)
    job_timeout = LONGEST_JOB
    job_completion_wait = 20  # seconds that SIGTERM gives a running job


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.queue = await create_pool(WorkerSettings.redis_settings)
    yield
    await app.state.queue.aclose()


app = FastAPI(lifespan=lifespan)


def get_queue(request: Request) -> Any:
    return request.app.state.queue


Queue = Annotated[ArqRedis, Depends(get_queue)]


@app.post("/orders/{order_id}/{item}", status_code=202, responses={503: {}})
async def create_order(order_id: RowId, item: str, queue: Queue) -> dict[str, str]:
    try:
        async with asyncio.timeout(3):
            job = await queue.enqueue_job(
                "send_receipt", order_id, item, _job_id=f"order-{order_id}"
            )
    except (RedisError, OSError):
        raise HTTPException(503, "Orders cannot be taken right now.") from None
    return {"job": job.job_id if job else f"order-{order_id}"}


@app.get("/jobs/{job_id}", responses={404: {}, 503: {}})
async def read_job(job_id: str, queue: Queue) -> dict[str, str | None]:
    job = Job(job_id, queue)
    try:
        async with asyncio.timeout(3):
            status, result = await job.status(), await job.result_info()
    except (RedisError, OSError):
        raise HTTPException(503, "Jobs cannot be read right now.") from None
    if status is JobStatus.not_found:
        raise HTTPException(404, f"There is no job {job_id}.")
    # For you, not for clients:
    error = repr(result.result) if result and not result.success else None
    return {"status": status.value, "error": error}
