"""One report per user at a time, over all workers; one that waits is not queued twice."""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import FastAPI, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/reports.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds; longer than any report takes
Number = Annotated[int, Path(gt=0, lt=2**63)]

CREATE = """
    create table if not exists jobs (
        id integer primary key, user int, year int, status text, lease real, tries int)
"""
NOT_TWICE = """
    create unique index if not exists not_twice on jobs (user, year)
    where status = 'waiting'
"""
ADD = """
    insert into jobs (user, year, status, lease, tries) values (?, ?, 'waiting', 0, 0)
    on conflict do nothing returning id
"""
CLAIM = """
    update jobs set status = 'running', lease = :lease, tries = tries + 1
    where id = (
        select id from jobs as job
        where status in ('waiting', 'running') and tries < 3
        and lease <= :now and not exists (
            select * from jobs
            where user = job.user and status = 'running' and lease > :now)
        order by id limit 1)
    returning id, lease, user, year
"""
FINISH = "update jobs set status = 'done' where id = ? and lease = ?"


def execute(statement: str, values: Any = ()) -> Any:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        rows = database.execute(statement, values).fetchall()
        return rows[0] if rows else None


def build_report(user: int, year: int) -> None:
    print(f"build_report: user {user} {year} started", flush=True)
    time.sleep(0.2)  # stands in for slow queries
    print(f"build_report: user {user} {year} done", flush=True)


def work(stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            now = time.time()
            if job := execute(CLAIM, {"now": now, "lease": now + LEASE}):
                build_report(*job[2:])
                execute(FINISH, job[:2])
            else:
                stop.wait(0.05)
        except Exception:
            logging.exception("tried again when its lease is over, three times at most")
            stop.wait(1)  # or a database that is away fills the log


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    execute(NOT_TWICE)
    stop = threading.Event()
    workers = [threading.Thread(target=work, args=[stop]) for _ in range(2)]
    for worker in workers:
        worker.start()
    yield
    stop.set()
    for worker in workers:
        worker.join()


app = FastAPI(lifespan=lifespan)


@app.post("/users/{user}/reports/{year}", status_code=202)
def create_report(user: Number, year: Number) -> dict[str, bool]:
    return {"queued": execute(ADD, [user, year]) is not None}
