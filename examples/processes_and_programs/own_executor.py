"""Which way into a thread takes the request id along, and which one tells of a failure."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Header
from fastapi.concurrency import run_in_threadpool

request_id: ContextVar[str] = ContextVar("request_id", default="-")
reports = ThreadPoolExecutor(2)
app = FastAPI()


def build_report(way: str) -> None:
    print(f"[{request_id.get()}] {way}")


def print_report() -> None:
    raise ConnectionError("the printer is off")


def tell(printed: Future[None]) -> None:
    if error := printed.exception():
        print(f"print_report: {error}")


async def build_reports() -> None:
    loop = asyncio.get_running_loop()
    context = copy_context()
    reports.submit(build_report, "submit")
    await loop.run_in_executor(reports, build_report, "run_in_executor")
    await loop.run_in_executor(reports, context.run, build_report, "copy_context")
    await asyncio.to_thread(build_report, "asyncio.to_thread")
    await run_in_threadpool(build_report, "run_in_threadpool")


@app.post("/reports")
async def create_reports(
    tasks: BackgroundTasks, x_request_id: Annotated[str, Header(max_length=64)] = "-"
) -> dict[str, str]:
    request_id.set(x_request_id)
    tasks.add_task(build_reports)
    return {"message": "Task has been queued"}


@app.post("/prints")
async def create_print() -> dict[str, str]:
    reports.submit(print_report)
    return {"message": "Job has been submitted"}


@app.post("/prints-told")
async def create_print_that_tells() -> dict[str, str]:
    reports.submit(print_report).add_done_callback(tell)
    return {"message": "Job has been submitted"}
