"""A dead worker's job is given back after its lease; a job that runs twice counts once."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse
from psycopg import OperationalError, rows
from psycopg_pool import AsyncConnectionPool

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
LEASE = float(os.environ.get("LEASE", "30"))  # seconds; renewed while the job runs
LIMIT = float(os.environ.get("LIMIT", "600"))  # seconds; longer than any job takes
Number = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=60)]

CREATE = """
    select pg_advisory_xact_lock(1);  -- two workers may start at the same time
    create table if not exists jobs (
        id int generated always as identity primary key,
        key text not null unique, customer int not null, seconds float not null,
        status text not null default 'waiting', attempts int not null default 0,
        tries_left int not null default 5, due timestamptz not null default now());
    create index if not exists jobs_open on jobs (due)
        where status in ('waiting', 'running') and tries_left > 0;
    create table if not exists customers (id int primary key, points int not null)
"""
PLACE = """
    insert into jobs (key, customer, seconds) values (%s, %s, %s)
    on conflict (key) do nothing returning id
"""
CLAIM = """
    update jobs set status = 'running', attempts = attempts + 1,
        tries_left = tries_left - 1, due = now() + make_interval(secs => %s)
    where id = (
        select id from jobs where status in ('waiting', 'running')
            and due <= now() and tries_left > 0
        order by due limit 1 for update skip locked)
    returning id as job, attempts as attempt, key, customer, seconds
"""
RENEW = """
    update jobs set due = now() + make_interval(secs => %s)
    where id = %s and attempts = %s
"""
DONE = "update jobs set status = 'done' where id = %s and attempts = %s"
ADD = """
    insert into customers values (%s, 10)
    on conflict (id) do update set points = customers.points + 10
"""
LATE = "select id, key, attempts from jobs where status = 'running' and due < now()"
GIVE_BACK = """
    update jobs set status = 'waiting', due = now(), attempts = attempts + 1,
        tries_left = 5 where id = %s and status = 'running' returning id
"""
ROWS = {"row_factory": rows.dict_row}
alive = AsyncConnectionPool.check_connection  # or one that died is given out
pool = AsyncConnectionPool(  # after an outage the next request tries, not a timer
    DATABASE, open=False, check=alive, timeout=3, reconnect_timeout=3, kwargs=ROWS
)


async def execute(statement: Any, *values: Any) -> list[Any]:
    async with pool.connection() as connection:  # a transaction of its own
        cursor = await connection.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description else []


async def add_points(
    job: int, attempt: int, key: str, customer: int, seconds: float
) -> None:
    print(f"add_points: {key} started", flush=True)
    await asyncio.sleep(seconds)  # what the job has to do, without a connection
    async with pool.connection() as connection:  # both statements, or neither
        done = await connection.execute(DONE, [job, attempt])
        if done.rowcount:
            await connection.execute(ADD, [customer])
    print(f"add_points: {key} {'done' if done.rowcount else 'too late'}", flush=True)


async def renew(job: int, attempt: int) -> None:
    while True:
        await asyncio.sleep(LEASE / 3)
        try:
            await execute(RENEW, LEASE, job, attempt)
        except Exception:
            logging.exception("renewed a third of the lease later")


async def work(stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            if not (jobs := await execute(CLAIM, LEASE)):
                await asyncio.sleep(0.1)
            for job in jobs:
                heartbeat = asyncio.create_task(renew(job["job"], job["attempt"]))
                try:
                    async with asyncio.timeout(LIMIT):
                        await add_points(**job)
                finally:
                    heartbeat.cancel()
        except Exception:
            logging.exception("tried again when its lease is over")
            await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with pool:
        await execute(CREATE)
        workers = [asyncio.create_task(work(stop)) for _ in range(2)]
        yield
        stop.set()
        await asyncio.gather(*workers)


app = FastAPI(lifespan=lifespan, responses={503: {}})


@app.exception_handler(OperationalError)
async def without_database(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "The database does not answer."}, 503)


@app.post("/customers/{customer}/orders/{order}", status_code=202)
async def create_order(
    customer: Number, order: Number, seconds: Seconds = 0.5
) -> dict[str, bool]:
    return {"queued": bool(await execute(PLACE, f"order-{order}", customer, seconds))}


@app.get("/customers/{customer}")
async def read_points(customer: Number) -> list[dict[str, int]]:
    return await execute("select points from customers where id = %s", customer)


@app.get("/jobs/late")
async def list_late() -> list[dict[str, str | int]]:
    return await execute(LATE)


@app.post("/jobs/{job}/give-back", status_code=202, responses={409: {}})
async def give_back(job: Number) -> dict[str, int]:
    if not await execute(GIVE_BACK, job):
        raise HTTPException(409, f"Job {job} does not run.")
    return {"job": job}
