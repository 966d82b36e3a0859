"""An event is a row beside its order; a loop delivers it, after longer and longer waits."""

import asyncio
import logging
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from email.utils import parsedate_to_datetime
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/outbox.db")
RECEIVERS = os.environ.get("RECEIVERS", "http://127.0.0.1:9000/").split()
TIMEOUT = float(os.environ.get("TIMEOUT", "15"))  # seconds for an attempt, in all
WAITS = os.environ.get("WAITS", "0 5 300 1800 7200 18000 36000 50400 72000 86400")
waits = dict(enumerate(map(float, WAITS.split())))  # seconds, after so many failures
TABLES = """
    create table if not exists orders (item);
    create table if not exists receivers (url unique, failures default 0, free default 0);
    create table if not exists events (id, receiver, body, due, attempts default 0,
        leased default 0, done default 0, error, unique (id, receiver));
    create index if not exists waiting on events (due) where not done"""
EVENT = """insert into events (id, receiver, body, due) select :id, url,
    json_object('type', 'order.created', 'item', :item), :now from receivers"""
CLAIM = """update events set attempts = attempts + 1, leased = :lease where rowid = (
        select events.rowid from events join receivers on url = receiver
        where not done and due <= :now and free <= :now and url not in (
            select receiver from events where not done and leased > :now)
        order by due limit 1)
    returning *, (select failures from receivers where url = receiver) as failures"""
SETTLE = """update events set leased = 0, done = :error = '', error = :error,
    due = :due where id = :id and receiver = :receiver"""
FREE = "update receivers set failures = :failures, free = :free where url = :receiver"
SWITCH_ON = "update receivers set failures = 0, free = 0 where url = :url"
REPLAY = "update events set attempts = 0, due = 0 where receiver = :url"


def execute(values: dict[str, Any], *statements: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as db, db:  # one transaction
        db.row_factory = sqlite3.Row
        return [[*map(dict, db.execute(one, values))] for one in statements][-1]


def seconds_in(retry_after: str) -> float:
    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except ValueError:
        seconds = float(retry_after) if retry_after.isdecimal() else 0
    return min(seconds, 86_400)


async def deliver(client: httpx.AsyncClient, event: dict[str, Any]) -> None:
    url, error, failures, asked = event["receiver"], "", event["failures"] + 1, 0.0
    headers = {"Content-Type": "application/json", "Webhook-Id": event["id"]}
    sending = client.stream("POST", url, content=event["body"], headers=headers)
    try:
        async with asyncio.timeout(TIMEOUT), sending as answer:  # its body is not read
            asked = seconds_in(answer.headers.get("Retry-After", ""))
            failures = len(waits) if answer.status_code == 410 else failures
            answer.raise_for_status()
    except Exception as problem:
        error = repr(problem)
    event |= {"error": error, "failures": failures if error else 0}
    event["due"] = time.time() + waits.get(event["attempts"], sys.maxsize)
    event["free"] = time.time() + max(asked, waits.get(event["failures"], sys.maxsize))
    try:
        await run_in_threadpool(execute, event, SETTLE, FREE)
        print(f"{url} {event['id']}: {error or 'delivered'}")
    except sqlite3.Error:
        logging.exception("%s is sent again when its lease is over", event["id"])


async def work(client: httpx.AsyncClient, stop: asyncio.Event) -> None:
    jobs: set[asyncio.Task[Any]] = {asyncio.create_task(stop.wait())}
    while not stop.is_set():
        try:
            now = {"now": time.time(), "lease": time.time() + 2 * TIMEOUT}
            claimed = await run_in_threadpool(execute, now, CLAIM)
        except sqlite3.Error:
            logging.exception("the outbox tries again in a second")
            claimed = await asyncio.sleep(1, result=[])
        jobs |= {asyncio.create_task(deliver(client, event)) for event in claimed}
        rest = 0 if claimed else 0.2  # seconds, or until a delivery has ended
        _, jobs = await asyncio.wait(jobs, timeout=rest, return_when="FIRST_COMPLETED")
    await asyncio.gather(*jobs)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    execute({}, *TABLES.split(";"))
    for url in RECEIVERS:
        execute({"url": url}, "insert or ignore into receivers (url) values (:url)")
    stop = asyncio.Event()
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=httpx.Limits()) as client:
        worker = asyncio.create_task(work(client, stop))
        yield
        stop.set()
        await worker


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{item}", status_code=201)
def create_order(item: str) -> dict[str, str]:
    event: dict[str, Any] = {"id": uuid4().hex, "item": item, "now": time.time()}
    execute(event, "insert into orders values (:item)", EVENT)  # both or neither
    return {"event": event["id"]}


if __name__ == "__main__":  # with an address: replay what it has not got
    execute({"url": sys.argv[1]}, SWITCH_ON, REPLAY)
