"""The tasks of a streaming response start after its last chunk."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


def record_export(rows: int) -> None:
    time.sleep(0.2)  # stands in for a slow database
    print(f"record_export: {rows} rows")


def notify(text: str) -> None:
    time.sleep(0.2)  # stands in for a slow service
    print(f"notify: {text}")


async def read_rows(background_tasks: BackgroundTasks) -> AsyncIterator[str]:
    for number in range(3):
        await asyncio.sleep(0.2)  # stands in for a query
        yield f"row {number}\n"
    background_tasks.add_task(record_export, 3)
    print("read_rows: done")


@app.get("/export")
async def export(background_tasks: BackgroundTasks) -> StreamingResponse:
    background_tasks.add_task(notify, "export sent")
    return StreamingResponse(read_rows(background_tasks), media_type="text/plain")
