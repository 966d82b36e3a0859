"""Each worker has a pool of its own, and PostgreSQL one limit for all of them together."""

import os

from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError, TimeoutError

DATABASE = os.environ.get("DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")
engine = create_engine(
    DATABASE.replace("postgresql:", "postgresql+psycopg:"),
    pool_size=2,  # these stay open
    max_overflow=1,  # so many more, while they are needed
    pool_timeout=0.5,  # seconds that one waits for a connection; 30 unless set
)
app = FastAPI()


def build_report() -> None:
    try:
        with engine.connect() as connection:
            connection.execute(text("select pg_sleep(2)"))  # stands in for a report
            print("build_report: done", flush=True)
    except (OperationalError, TimeoutError) as error:
        print(f"build_report: lost, {error}", flush=True)


@app.post("/reports", status_code=202)
def create_report(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(build_report)
    return {"message": "Report has been queued"}
