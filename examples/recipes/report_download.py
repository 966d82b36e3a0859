"""A report built in a process of its own, and downloaded when it is whole."""

import asyncio
import csv
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, HTTPException, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse

folder = Path(os.environ.get("REPORTS") or mkdtemp())
logger = logging.getLogger("report_download")


def prepare_process() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides when to end
    threading.Thread(target=end_with_the_server, daemon=True).start()


def end_with_the_server() -> None:
    if server := parent_process():
        server.join()
    os._exit(1)


def create_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), prepare_process)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = create_pool()
    yield
    app.state.pool.shutdown(cancel_futures=True)


app = FastAPI(lifespan=lifespan)
Year = Annotated[int, PathParameter(ge=2000, le=2100)]
ReportId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{32}$")]


def build_report(year: int, unfinished: Path) -> None:
    with unfinished.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["month", "forecast"])
        for month in range(1, 13):
            writer.writerow(
                [f"{year}-{month:02}", sum(n % year for n in range(40_000))]
            )
    unfinished.replace(unfinished.with_suffix(".csv"))  # whole, or not there


async def build_in_a_process(year: int, unfinished: Path) -> None:
    pool: ProcessPoolExecutor = app.state.pool
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(pool, build_report, year, unfinished)
        print(f"build_in_a_process: {year} done")
    except Exception as error:
        logger.exception("report of %s failed", year)
        if isinstance(error, BrokenProcessPool) and app.state.pool is pool:
            app.state.pool = create_pool()
        unfinished.rename(unfinished.with_suffix(".failed"))


@app.post("/reports/{year}", status_code=202)
def create_report(
    year: Year, response: Response, tasks: BackgroundTasks
) -> dict[str, str]:
    report_id = uuid4().hex
    unfinished = folder / f"{report_id}.part"
    unfinished.touch()
    tasks.add_task(build_in_a_process, year, unfinished)
    response.headers["Location"] = f"/reports/{report_id}"
    return {"id": report_id}


@app.get("/reports/{report_id}", responses={404: {}})
def read_status(report_id: ReportId) -> dict[str, str]:
    file = folder / report_id
    states = {".part": "running", ".csv": "done", ".failed": "failed"}
    for suffix, status in states.items():  # in the order in which they come about
        if file.with_suffix(suffix).exists():
            return {"status": status}
    raise HTTPException(404, f"There is no report {report_id}.")


@app.get("/reports/{report_id}/file", response_class=FileResponse, responses={409: {}})
def download(report_id: ReportId) -> FileResponse:
    status = read_status(report_id)["status"]
    if status != "done":
        raise HTTPException(409, f"The report is {status}.")
    return FileResponse(folder / f"{report_id}.csv", filename="report.csv")
