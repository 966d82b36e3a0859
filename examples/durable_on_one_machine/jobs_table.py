"""A job is a row, committed with its order; if its worker dies, another runs it again."""

import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Path
from sqlalchemy import create_engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateTable

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/jobs.db")
LEASE = float(os.environ.get("LEASE", "60"))  # seconds; longer than any job takes
ATTEMPTS = 3
logger = logging.getLogger("jobs")
RowId = Annotated[int, Path(gt=0, lt=2**63)]

engine = create_engine(f"sqlite:///{DATABASE}", connect_args={"timeout": 30})


class Table(DeclarativeBase):
    pass


class Order(Table):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


class Job(Table):
    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int]
    status: Mapped[str] = mapped_column(default="waiting")
    attempts: Mapped[int] = mapped_column(default=0)
    due: Mapped[float] = mapped_column(default=time.time)
    error: Mapped[str | None]


with engine.begin() as connection:  # several processes may do so at once
    for table in Table.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))


def claim() -> Job | None:
    now = time.time()
    waiting = (Job.status == "waiting", Job.due <= now)
    oldest = select(Job.id).where(*waiting).order_by(Job.due).limit(1)
    with Session(engine, expire_on_commit=False) as session:
        given_up = update(Job).where(*waiting, Job.attempts >= ATTEMPTS)
        session.execute(given_up.values(status="failed", error="its worker died"))
        taken = update(Job).where(Job.id == oldest.scalar_subquery())
        taken = taken.values(attempts=Job.attempts + 1, due=now + LEASE)
        job = session.scalar(taken.returning(Job))
        session.commit()
    return job


def change(job: Job, **values: Any) -> None:
    mine = (Job.id == job.id, Job.attempts == job.attempts)  # nobody took it since
    with Session(engine) as session:
        session.execute(update(Job).where(*mine).values(**values))
        session.commit()


def send_receipt(order_id: int) -> None:
    with Session(engine) as session:
        item = session.get_one(Order, order_id).item
    print(f"send_receipt: order {order_id} started", flush=True)
    time.sleep(1 if item == "slow" else 0.02)  # stands in for a mail server
    if item == "refused":
        raise ConnectionError("the mail server refused the connection")
    if item == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory is short
    print(f"send_receipt: order {order_id} done", flush=True)


def run(job: Job) -> None:
    try:
        send_receipt(job.order_id)
    except Exception as error:
        again = job.attempts < ATTEMPTS
        later = time.time() + 0.2 * 2**job.attempts
        status = "waiting" if again else "failed"
        change(job, status=status, due=later, error=repr(error))
    else:
        change(job, status="done", error=None)


def work(stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            if job := claim():
                run(job)
            else:
                stop.wait(0.1)
        except Exception:  # the database, not the job
            logger.exception("jobs: trying again in a second")
            stop.wait(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    stop = threading.Event()
    worker = threading.Thread(target=work, args=[stop])
    worker.start()
    yield
    stop.set()
    worker.join()


app = FastAPI(lifespan=lifespan)


@app.post("/orders/{order_id}/{item}", status_code=202, responses={409: {}})
def create_order(order_id: RowId, item: str) -> dict[str, int]:
    job = Job(order_id=order_id)
    try:
        with Session(engine) as session:
            session.add_all([job, Order(id=order_id, item=item)])
            session.commit()  # both or neither
            return {"job": job.id}
    except IntegrityError:
        raise HTTPException(409, f"Order {order_id} exists.") from None


@app.get("/jobs/{job_id}", responses={404: {}})
def read_job(job_id: RowId) -> dict[str, str | int | None]:
    with Session(engine) as session:
        job = session.get(Job, job_id)
    if not job:
        raise HTTPException(404, f"There is no job {job_id}.")
    # The error's text is for you, not for clients.
    return {"status": job.status, "attempts": job.attempts, "error": job.error}


if __name__ == "__main__":  # a worker without an app
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work(stop)
