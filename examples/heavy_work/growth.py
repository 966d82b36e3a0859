"""Memory that grows with each request: which line has made what is still there."""

import tracemalloc
from typing import Annotated
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, Query

OTHERS = [tracemalloc.Filter(False, tracemalloc.__file__)]

tracemalloc.start()
app = FastAPI()
kept = tracemalloc.take_snapshot()
statuses: dict[str, str] = {}


async def build_report(report_id: str) -> None:
    statuses[report_id] = f"{report_id} done " * 100  # and nobody takes it out


@app.post("/reports", status_code=202)
async def create_report(tasks: BackgroundTasks) -> dict[str, str]:
    report_id = uuid4().hex
    tasks.add_task(build_report, report_id)
    return {"id": report_id}


@app.get("/growth")  # for you, not for clients
def read_growth(lines: Annotated[int, Query(ge=1, le=100)] = 5) -> list[str]:
    global kept
    before, kept = kept, tracemalloc.take_snapshot().filter_traces(OTHERS)
    return [str(line) for line in kept.compare_to(before, "lineno")[:lines]]
