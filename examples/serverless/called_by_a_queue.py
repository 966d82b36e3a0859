"""A queue calls the app: the work is done before the answer, once, and again if it failed."""

import logging
import os
import sqlite3
import time
from contextlib import closing
from tempfile import gettempdir
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/called.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds, more than a request may take
answers = iter(["refused", "accepted"])  # stands in for a mail server

app = FastAPI()
logger = logging.getLogger(__name__)


def database() -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(DATABASE, timeout=30, isolation_level=None))


with database() as db:
    db.execute("create table if not exists jobs (id primary key, until, done)")


def claim(job_id: str) -> float | None:
    """Until when the job is ours; None: it is another's, or done."""
    until = time.time() + LEASE
    mine = """
        insert into jobs values (:id, :until, false) on conflict (id) do
        update set until = :until where not done and until < :now returning until
    """
    with database() as db:
        values = {"id": job_id, "until": until, "now": time.time()}
        return until if db.execute(mine, values).fetchall() else None


def settle(job_id: str, until: float, done: bool) -> None:
    with database() as db:  # unless another has claimed it since
        ended = "update jobs set until = 0, done = ? where id = ? and until = ?"
        db.execute(ended, [done, job_id, until])


def is_done(job_id: str) -> bool:
    with database() as db:
        rows = db.execute("select 1 from jobs where id = ? and done", [job_id])
        return bool(rows.fetchall())


def send_digest(job_id: str) -> None:
    print(f"send_digest: {job_id} started")
    time.sleep(1)
    if next(answers, "accepted") == "refused":
        raise ConnectionError("the mail server refused the connection")
    print(f"send_digest: {job_id} done")


@app.post("/jobs/{job_id}", responses={503: {"description": "Call again later"}})
def run_job(
    job_id: Annotated[str, Path(pattern=r"^[a-z0-9-]{1,50}$")],
) -> dict[str, str]:
    until = claim(job_id)
    if until is None:
        if is_done(job_id):
            return {"message": f"{job_id} was done before"}
        raise HTTPException(503, f"{job_id} is being worked on")
    try:
        send_digest(job_id)
    except Exception as error:
        settle(job_id, until, done=False)
        logger.exception("%s failed", job_id)
        raise HTTPException(503, f"{job_id} failed") from error
    settle(job_id, until, done=True)
    return {"message": f"{job_id} is done"}
