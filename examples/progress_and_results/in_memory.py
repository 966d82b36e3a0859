"""Each report has an address where its progress, its result or its error is read."""

import logging
import time
from typing import Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, HTTPException, Response
from pydantic import BaseModel

app = FastAPI()
logger = logging.getLogger(__name__)


class Report(BaseModel):
    status: Literal["running", "done", "failed"] = "running"
    percent: int = 0
    rows: int | None = None
    error: str | None = None


class NoOrders(Exception):
    """A year in which nothing was sold."""


reports: dict[str, Report] = {}


def count_orders(year: int) -> int:
    if year < 2020:
        raise NoOrders(f"there are no orders of {year}")
    return 50 // (2030 - year)  # has a bug: think of 2030


def build_report(report: Report, year: int) -> None:
    try:
        for percent in (25, 50, 75):
            time.sleep(0.5)  # stands in for a slow query
            report.percent = percent
        report.rows = count_orders(year)
        report.percent, report.status = 100, "done"  # what polls wait for comes last
    except NoOrders as error:  # the client can do something about it
        report.status, report.error = "failed", str(error)
    except Exception:
        logger.exception("report of %s failed", year)
        report.status, report.error = "failed", "internal error"


@app.post("/reports/{year}", status_code=202)
async def create_report(
    year: int, response: Response, tasks: BackgroundTasks
) -> dict[str, str]:
    report_id = uuid4().hex
    reports[report_id] = Report()
    tasks.add_task(build_report, reports[report_id], year)
    response.headers["Location"] = f"/reports/{report_id}"
    return {"id": report_id}


@app.get("/reports/{report_id}", responses={404: {}})
async def read_report(report_id: str) -> Report:
    if report_id not in reports:
        raise HTTPException(404, f"There is no report {report_id}.")
    return reports[report_id]
