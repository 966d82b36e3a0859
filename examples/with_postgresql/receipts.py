"""The job is a row of the same transaction as its order: both are there, or neither."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
DEAD_AFTER = float(os.environ.get("DEAD_AFTER", "30"))  # seconds without a heartbeat
RESCUE = os.environ.get("RESCUE", "* * * * *")
RowId = Annotated[int, Path(gt=0, lt=2**31)]
Item = Annotated[str, Path(pattern="^[ -~]+$", max_length=100)]

engine = create_async_engine(
    DATABASE.replace("postgresql:", "postgresql+psycopg:"), pool_pre_ping=True
)
queue = App(
    connector=PsycopgConnector(conninfo=DATABASE, timeout=3, reconnect_timeout=3),
    worker_defaults={
        "concurrency": 10,
        "update_heartbeat_interval": DEAD_AFTER / 3,
        "stalled_worker_timeout": DEAD_AFTER,
    },
)


class Table(DeclarativeBase):
    pass


class Order(Table):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item: Mapped[str]


@queue.task(retry=RetryStrategy(max_attempts=2, linear_wait=1))
async def send_receipt(order_id: int) -> None:
    async with AsyncSession(engine) as session:
        order = await session.get_one(Order, order_id)
    print(f"send_receipt: order {order_id} started", flush=True)
    await asyncio.sleep(1 if order.item == "slow" else 0.05)  # a mail server
    if order.item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt: order {order_id} done", flush=True)


@queue.periodic(cron=RESCUE)
@queue.task(queueing_lock="rescue", pass_context=True)
async def rescue(context: JobContext, timestamp: int) -> None:
    jobs = context.app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=DEAD_AFTER):
        with suppress(ConnectorException):  # it has ended, or waits a second time
            await jobs.retry_job(job)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:  # better: a migration before the start
        await connection.run_sync(Table.metadata.create_all)
    async with queue.open_async():
        yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{item}", status_code=202, responses={409: {}, 503: {}})
async def create_order(order_id: RowId, item: Item) -> dict[str, int]:
    try:
        async with (
            asyncio.timeout(3),
            AsyncSession(engine) as session,
            session.begin(),
        ):
            session.add(Order(id=order_id, item=item))
            connection = await (await session.connection()).get_raw_connection()
            job = send_receipt.configure(connection=connection.driver_connection)
            return {"job": await job.defer_async(order_id=order_id)}
    except IntegrityError:
        raise HTTPException(409, f"Order {order_id} exists.") from None
    except (OperationalError, ConnectorException, TimeoutError):
        raise HTTPException(503, "Orders cannot be taken right now.") from None


@app.get("/jobs/{job_id}", responses={404: {}, 503: {}})
async def read_job(job_id: RowId) -> dict[str, str | int]:
    try:
        jobs = list(await queue.job_manager.list_jobs_async(id=job_id))
    except ConnectorException:
        raise HTTPException(503, "Jobs cannot be read right now.") from None
    if not jobs:
        raise HTTPException(404, f"There is no job {job_id}.")
    return {"status": jobs[0].status or "", "attempts": jobs[0].attempts}
