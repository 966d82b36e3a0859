"""A dependency with max_concurrency=1 is busy until the tasks of its request are over."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


async def open_printer() -> AsyncIterator[str]:
    yield "printer"
    await asyncio.sleep(0.1)  # stands in for closing it


async def print_label() -> None:
    print("print_label: started")
    await asyncio.sleep(0.5)  # stands in for a slow printer
    print("print_label: done")


Printer = Annotated[str, Depends(open_printer, max_concurrency=1)]
BriefPrinter = Annotated[
    str, Depends(open_printer, max_concurrency=1, scope="function")
]


@app.post("/labels")
async def create_label(printer: Printer, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(print_label)
    return {"message": "Task has been queued"}


@app.post("/brief")
async def create_brief(printer: BriefPrinter, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(print_label)
    return {"message": "Task has been queued"}
