"""A page with a bar that moves: the browser follows the report's event stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import uuid4

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

PAGE = """<!doctype html><html lang="en"><title>Report</title>
<button>Build the report</button>
<progress max="100" value="0" aria-label="Report"></progress> <output></output>
<script type="module">
  const [button, bar, output] = document.body.children
  button.onclick = async () => {
    const answer = await fetch("/reports/2026", { method: "POST" })
    const events = new EventSource(answer.headers.get("location") + "/events")
    events.onmessage = event => {
      const report = JSON.parse(event.data)
      bar.value = report.percent
      output.textContent = report.status
      if (report.status != "running") events.close()
    }
  }
</script></html>"""


class Report(BaseModel):
    status: str = "running"
    percent: int = 0


app = FastAPI()
reports: dict[str, Report] = {}


async def build_report(report: Report, year: int) -> None:
    for report.percent in (25, 50, 75, 100):
        await asyncio.sleep(0.5)  # stands in for a slow query
        if year < 2020:
            report.status = f"failed: there are no orders of {year}"
            return
    report.status = "done"
    print("build_report: done")


def find_report(report_id: str) -> Report:
    if report_id not in reports:
        raise HTTPException(404, f"There is no report {report_id}.")
    return reports[report_id]


CurrentReport = Annotated[Report, Depends(find_report)]


@app.get("/", response_class=HTMLResponse)
async def read_page() -> str:
    return PAGE


@app.post("/reports/{year}", status_code=202)
async def create_report(
    year: int, response: Response, tasks: BackgroundTasks
) -> dict[str, str]:
    report_id = uuid4().hex
    reports[report_id] = Report()
    tasks.add_task(build_report, reports[report_id], year)
    response.headers["Location"] = f"/reports/{report_id}"
    return {"id": report_id}


@app.get("/reports/{report_id}")
async def read_report(report: CurrentReport) -> Report:
    return report


@app.get("/reports/{report_id}/events", response_class=EventSourceResponse)
async def follow_report(report: CurrentReport) -> AsyncIterator[Report]:
    while True:
        seen = report.model_copy()  # what is sent is what is looked at
        yield seen
        if seen.status != "running":
            return
        await asyncio.sleep(0.1)
