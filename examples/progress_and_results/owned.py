"""A report is there for the user who asked for it; for all others it is a 404."""

import time
from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException

app = FastAPI()


@dataclass
class Report:
    owner: str
    status: str = "running"


reports: dict[str, Report] = {}


def current_user(authorization: Annotated[str, Header(max_length=100)]) -> str:
    return authorization.removeprefix("Bearer ")  # stands in for a check of the token


User = Annotated[str, Depends(current_user)]


def find_report(report_id: str, user: User) -> Report:
    report = reports.get(report_id)
    if report is None or report.owner != user:
        raise HTTPException(404, "There is no such report.")
    return report


def build_report(report: Report) -> None:
    time.sleep(0.2)  # stands in for slow work
    report.status = "done"


@app.post("/reports", status_code=202)
async def create_report(user: User, tasks: BackgroundTasks) -> dict[str, str]:
    report_id = token_urlsafe()
    reports[report_id] = Report(owner=user)
    tasks.add_task(build_report, reports[report_id])
    return {"id": report_id}


@app.get("/reports/{report_id}")
async def read_report(
    report: Annotated[Report, Depends(find_report)],
) -> dict[str, str]:
    return {"status": report.status}
