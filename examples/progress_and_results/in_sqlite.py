"""The status is a row that every worker reads; it outlives the process that wrote it."""

import logging
import os
import time
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Path, Response
from sqlalchemy import create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column, registry
from sqlalchemy.schema import CreateTable

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/reports.db")
KEEP_SECONDS = float(os.environ.get("KEEP_SECONDS", "3600"))

app = FastAPI()
logger = logging.getLogger(__name__)
engine = create_engine(f"sqlite:///{DATABASE}")
tables = registry()


@tables.mapped
class Report:
    __tablename__ = "reports"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(default="running")
    percent: Mapped[int] = mapped_column(default=0)
    changed: Mapped[float] = mapped_column(default=time.time, onupdate=time.time)


with engine.begin() as connection:  # several processes may do so at once
    for table in tables.metadata.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))


def change_report(report_id: int, **changes: Any) -> None:
    with Session(engine) as session:
        report = session.get_one(Report, report_id)
        for name, value in changes.items():
            setattr(report, name, value)
        session.commit()


def build_report(report_id: int) -> None:
    try:
        for percent in (25, 50, 75):
            time.sleep(0.5)  # stands in for a slow query
            change_report(report_id, percent=percent)
        change_report(report_id, status="done", percent=100)
        print(f"build_report: {report_id} done")
    except Exception:
        logger.exception("report %s failed", report_id)
        change_report(report_id, status="failed")


@app.post("/reports", status_code=202)
def create_report(response: Response, tasks: BackgroundTasks) -> dict[str, int]:
    with Session(engine) as session:
        session.add(report := Report())
        session.commit()
        response.headers["Location"] = f"/reports/{report.id}"
        tasks.add_task(build_report, report.id)
        return {"id": report.id}


@app.get("/reports/{report_id}", responses={404: {}, 410: {}})
def read_report(
    report_id: Annotated[int, Path(gt=0, lt=2**63)],
) -> dict[str, str | int]:
    with Session(engine) as session:
        report = session.get(Report, report_id)
    if not report:
        raise HTTPException(404, f"There is no report {report_id}.")
    if report.status != "running" and report.changed + KEEP_SECONDS < time.time():
        raise HTTPException(
            410, f"Report {report_id} was kept for an hour, and is gone."
        )
    return {"status": report.status, "percent": report.percent}
