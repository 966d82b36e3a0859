"""A generator that is left at its yield ends when Python collects it."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


class TextStream(StreamingResponse):
    media_type = "text/plain"


@app.get("/rows", response_class=TextStream)
def read_rows() -> Iterator[str]:
    try:
        for number in range(10):
            time.sleep(0.2)  # stands in for a query
            yield f"row {number}\n"
    except BaseException as end:
        print(f"read_rows: {type(end).__name__}")
        raise


@app.get("/export", response_class=TextStream)
async def export() -> AsyncIterator[str]:
    try:
        for number in range(1_000):
            await asyncio.sleep(0.001)  # stands in for a query
            print(f"export: row {number}")
            yield f"row {number}".ljust(100_000) + "\n"
    except BaseException as end:
        print(f"export: {type(end).__name__}")
        raise


@app.get("/collect")
async def collect_garbage() -> dict[str, int]:
    return {"unreachable": gc.collect()}
