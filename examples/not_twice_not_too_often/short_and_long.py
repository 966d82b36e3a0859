"""Short jobs have a worker of their own, so that long ones do not hold them up."""

import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/jobs.db")
WORKERS = os.environ.get("WORKERS", "short any").split()
SECONDS = {"short": 0.05, "long": 1}

CREATE = """
    create table if not exists jobs (
        id integer primary key, kind text, number int, status text)
"""
ADD = "insert into jobs (kind, number, status) values (?, ?, 'waiting')"
CLAIM = """
    update jobs set status = 'running' where id = (
        select id from jobs where status = 'waiting' and ? in ('any', kind)
        order by id limit 1)
    returning kind, number
"""


def execute(statement: str, values: Any = ()) -> Any:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        rows = database.execute(statement, values).fetchall()
        return rows[0] if rows else None


def work(takes: str, stop: threading.Event) -> None:
    while not stop.is_set():
        if job := execute(CLAIM, [takes]):
            kind, number = job
            print(f"work: {kind} job {number} started", flush=True)
            time.sleep(SECONDS[kind])  # stands in for the job
            print(f"work: {kind} job {number} done", flush=True)
        else:
            stop.wait(0.05)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    stop = threading.Event()
    workers = [threading.Thread(target=work, args=[takes, stop]) for takes in WORKERS]
    for worker in workers:
        worker.start()
    yield
    stop.set()
    for worker in workers:
        worker.join()


app = FastAPI(lifespan=lifespan)


@app.post("/jobs/{kind}/{number}", status_code=202)
def create_job(
    kind: Literal["short", "long"], number: Annotated[int, Path(gt=0, lt=2**63)]
) -> dict[str, str]:
    execute(ADD, [kind, number])
    return {"message": "Job has been queued"}
