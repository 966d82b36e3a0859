"""The worker sleeps until it is notified; a slow poll finds what no notification told."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse
from psycopg import AsyncConnection, OperationalError
from psycopg_pool import AsyncConnectionPool

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
LISTEN = os.environ.get("LISTEN", DATABASE)  # PostgreSQL itself, not PgBouncer
POLL = float(os.environ.get("POLL", "60"))  # seconds
OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Seconds = Annotated[float, Query(ge=0, le=86_400)]

CREATE = """
    select pg_advisory_xact_lock(1);  -- two workers may start at the same time
    create table if not exists mails (
        order_id int primary key, due timestamptz not null,
        status text not null default 'waiting');
    create index if not exists mails_open on mails (due) where status = 'waiting'
"""
PLACE = """
    with placed as (
        insert into mails values (%s, now() + make_interval(secs => %s))
        on conflict do nothing returning order_id)
    select pg_notify('mails', '') from placed
"""
CLAIM = """
    update mails set due = now() + interval '60 s' where order_id = (
        select order_id from mails where status = 'waiting' and due <= now()
        order by due limit 1 for update skip locked)
    returning order_id
"""
DONE = "update mails set status = 'sent' where order_id = %s"
NEXT = """
    select coalesce(extract(epoch from min(due) - now())::float, 'infinity')
    from mails where status = 'waiting'
"""
alive = AsyncConnectionPool.check_connection  # or one that died is given out
pool = AsyncConnectionPool(  # after an outage the next request tries, not a timer
    DATABASE, open=False, check=alive, timeout=3, reconnect_timeout=3
)


async def listen(news: asyncio.Event) -> None:
    while True:
        try:
            async with await AsyncConnection.connect(LISTEN, autocommit=True) as ours:
                await ours.execute("listen mails")
                print("listen: ready", flush=True)
                news.set()  # what was placed before, or while nobody listened
                async for _ in ours.notifies():
                    news.set()
        except OperationalError as error:
            logging.warning("listen: again in a second: %s", error)
        await asyncio.sleep(1)


async def send_mail(order_id: int) -> None:
    print(f"send_mail: order {order_id} started", flush=True)
    await asyncio.sleep(0.5)  # stands in for a mail server
    async with pool.connection() as connection:
        await connection.execute(DONE, [order_id])
    print(f"send_mail: order {order_id} done", flush=True)


async def work(news: asyncio.Event, stop: asyncio.Event) -> None:
    while not stop.is_set():
        news.clear()
        seconds = 1.0  # if the database is away
        try:
            async with pool.connection() as connection:
                claimed = await (await connection.execute(CLAIM)).fetchone()
                [(seconds,)] = await (await connection.execute(NEXT)).fetchall()
            if claimed:
                await send_mail(*claimed)
        except Exception:
            logging.exception("work: again in a second, or when its lease is over")
        with suppress(TimeoutError):
            async with asyncio.timeout(min(POLL, seconds)):
                await news.wait()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    news, stop = asyncio.Event(), asyncio.Event()
    async with pool:
        async with pool.connection() as connection:
            await connection.execute(CREATE)
        listening = asyncio.create_task(listen(news))
        working = asyncio.create_task(work(news, stop))
        yield
        listening.cancel()
        stop.set()
        news.set()
        await working


app = FastAPI(lifespan=lifespan, responses={503: {}})


@app.exception_handler(OperationalError)
async def without_database(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "Mails cannot be taken right now."}, 503)


@app.post("/orders/{order_id}/mail", status_code=202)
async def create_mail(order_id: OrderId, seconds: Seconds = 0) -> dict[str, bool]:
    async with pool.connection() as connection:
        placed = await connection.execute(PLACE, [order_id, seconds])
    return {"queued": bool(placed.rowcount)}
