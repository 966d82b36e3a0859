"""The task runs to its end, whenever the client goes away."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def record_export() -> None:
    print("record_export: started")
    await asyncio.sleep(0.5)  # stands in for a slow database
    print("record_export: done")


async def read_rows() -> AsyncIterator[str]:
    for number in range(10):
        yield f"row {number}\n"
        await asyncio.sleep(0.2)  # stands in for a query
    print("read_rows: done")


@app.get("/export")
async def export(background_tasks: BackgroundTasks) -> StreamingResponse:
    background_tasks.add_task(record_export)
    return StreamingResponse(read_rows(), media_type="text/plain")


@app.get("/summary")
async def summarise(background_tasks: BackgroundTasks) -> dict[str, int]:
    print("summarise: started")
    await asyncio.sleep(0.5)  # stands in for a slow query
    background_tasks.add_task(record_export)
    return {"rows": 50}
