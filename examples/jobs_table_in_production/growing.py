"""What is done is deleted in batches; the claim reads an index of what is open."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Path
from psycopg_pool import AsyncConnectionPool

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
SWEEP = float(os.environ.get("SWEEP", "3600"))  # seconds between two clean-ups
Jobs = Annotated[int, Path(gt=0, le=100_000)]

CREATE = """
    select pg_advisory_xact_lock(1);  -- two workers may start at the same time
    create table if not exists exports (
        id int generated always as identity primary key,
        status text not null default 'waiting',
        due timestamptz not null default now(), finished timestamptz);
    create index if not exists exports_open on exports (due)
        where status in ('waiting', 'running');
    create index if not exists exports_done on exports (finished)
        where status = 'done'
"""
CLAIM = """
    update exports set status = 'running', due = now() + interval '30 s'
    where id = (
        select id from exports
        where status in ('waiting', 'running') and due <= now()
        order by due limit 1 for update skip locked)
    returning id
"""
DELETE = """
    delete from exports where id in (
        select id from exports
        where status = 'done' and finished < now() - interval '30 days'
        order by finished limit 1000 for update skip locked)
"""
A_YEAR = """
    insert into exports (status, due, finished)
    select 'done', ended, ended from generate_series(%s::int, 1, -1) as n,
        lateral (select now() - n * interval '1 year' / %s as ended) as job
"""
pool = AsyncConnectionPool(DATABASE, open=False)


async def execute(statement: Any, *values: Any) -> Any:
    async with pool.connection() as connection:  # a transaction of its own
        return await connection.execute(statement, values or None)


async def clean_up() -> None:
    while (await execute(DELETE)).rowcount:
        print("clean_up: a batch deleted", flush=True)


async def clean_up_for_ever() -> None:
    while True:
        try:
            await clean_up()
        except Exception:
            logging.exception("tried again after the pause")
        await asyncio.sleep(SWEEP)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with pool:
        await execute(CREATE)
        cleaning = asyncio.create_task(clean_up_for_ever())
        yield
        cleaning.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/years/{jobs}", status_code=201)
async def fill(jobs: Jobs) -> dict[str, int]:
    await execute(A_YEAR, jobs, jobs)
    return {"jobs": jobs}


@app.get("/plan")
async def read_plan() -> list[str]:
    plan = await execute(f"explain (costs off) {CLAIM}")
    return [line for (line,) in await plan.fetchall()]
