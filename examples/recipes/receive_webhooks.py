"""A received webhook is a row before it is answered, and is handled once."""

import base64
import hashlib
import hmac
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

DATABASE = os.environ.get("DATABASE") or Path(mkdtemp()) / "events.db"
SECRET = os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_")
KEY = base64.b64decode(SECRET)
FIVE_MINUTES = 300


@contextmanager
def transaction() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(DATABASE, timeout=30)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def keep(event_id: str, body: bytes) -> bool:
    """Write the event down; False if it was there already."""
    with transaction() as connection:
        return bool(
            connection.execute(
                "insert or ignore into events (id, body) values (?, ?)",
                (event_id, body),
            ).rowcount
        )


def handle(event_id: str) -> None:
    try:
        work(event_id)
    except Exception:
        logging.exception("event %s is tried again at the next start", event_id)


def work(event_id: str) -> None:
    with transaction() as connection:  # the work and its mark: both or neither
        taken = connection.execute(
            "update events set done = 1 where id = ? and not done returning body",
            (event_id,),
        ).fetchone()
        if taken:
            connection.execute("insert into orders (body) values (?)", taken)
    if taken:
        print(f"work: {event_id} done")


def begin() -> list[str]:
    with transaction() as connection:
        connection.executescript("""
            create table if not exists orders (body);
            create table if not exists events (id primary key, body, done default 0);
        """)
        left = connection.execute("select id from events where not done").fetchall()
    return [event_id for (event_id,) in left]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    if not KEY:
        raise RuntimeError("set WEBHOOK_SECRET to what the sender signs with")
    for event_id in await run_in_threadpool(begin):
        await run_in_threadpool(handle, event_id)
    yield


app = FastAPI(lifespan=lifespan)


def check(event_id: str, sent_at: str, body: bytes, signature: str) -> None:
    signed = b".".join([event_id.encode(), sent_at.encode(), body])
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    wanted = b"v1," + base64.b64encode(digest)
    signatures = signature.encode().split()  # several while a secret is replaced
    if not any(hmac.compare_digest(one, wanted) for one in signatures):
        raise HTTPException(401, "The signature is wrong.")
    if abs(time.time() - int(sent_at)) > FIVE_MINUTES:
        raise HTTPException(401, "This was sent too long ago.")


@app.post(
    "/webhooks",
    max_body_size=1_000_000,  # bytes, from whoever knows the address
    responses={401: {"description": "The signature is wrong"}},
)
async def receive(
    request: Request,
    tasks: BackgroundTasks,
    webhook_id: Annotated[str, Header(max_length=100)],
    webhook_timestamp: Annotated[str, Header(pattern=r"^\d{1,12}$")],
    webhook_signature: Annotated[str, Header()],
) -> dict[str, bool]:
    body = await request.body()  # as it was signed, before anything parses it
    check(webhook_id, webhook_timestamp, body, webhook_signature)
    new = await run_in_threadpool(keep, webhook_id, body)
    tasks.add_task(handle, webhook_id)
    return {"new": new}
