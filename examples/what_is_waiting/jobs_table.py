"""The number of waiting jobs says little; how long the oldest has waited is the alarm."""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query

PATIENCE = float(os.environ.get("PATIENCE", "60"))  # seconds that a job may wait
db = sqlite3.connect(":memory:", isolation_level=None)  # stands in for your database
db.execute("create table jobs (item, status, since, error)")

COUNT = "select status, count(*), min(since) from jobs group by status"
FAILED = "select item, error from jobs where status = 'failed'"
TAKE = """update jobs set status = 'running' where rowid =
    (select min(rowid) from jobs where status = 'waiting') returning rowid, item"""
END = "update jobs set status = ?, error = ? where rowid = ?"
AGAIN = "update jobs set status = 'waiting', since = ? where status = 'failed'"


async def send_receipt(item: str) -> None:
    print(f"send_receipt {item}: started")
    await asyncio.sleep(3600 if item == "stuck" else 0.5)  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_receipt {item}: done")


async def work() -> None:
    while True:
        for job, item in db.execute(TAKE).fetchall():
            try:
                await send_receipt(item)
            except Exception as error:
                db.execute(END, ["failed", repr(error), job])
            else:
                db.execute(END, ["done", None, job])
        await asyncio.sleep(0.05)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.worker = asyncio.create_task(work())
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=202)
async def create_order(item: Annotated[str, Query(max_length=20)]) -> dict[str, str]:
    add = "insert into jobs values (?, 'waiting', ?, null)"
    db.execute(add, [item, time.time()])
    return {"message": "Receipt has been queued"}


@app.get("/jobs")
async def count_jobs() -> dict[str, int]:
    return {status: jobs for status, jobs, _ in db.execute(COUNT)}


@app.get("/jobs/alarm", responses={503: {}})
async def alarm() -> dict[str, float]:
    since = {status: oldest for status, _, oldest in db.execute(COUNT)}
    now = time.time()
    seconds = now - since.get("waiting", now)
    if seconds > PATIENCE:
        raise HTTPException(503, f"A job has waited for {seconds:.0f} seconds.")
    return {"seconds": seconds}


@app.get("/jobs/failed")  # for you: an error's text is not for clients
async def read_failed() -> list[dict[str, str]]:
    return [{"item": item, "error": error} for item, error in db.execute(FAILED)]


@app.post("/jobs/failed/again")
async def run_failed_again() -> dict[str, int]:
    return {"jobs": db.execute(AGAIN, [time.time()]).rowcount}
