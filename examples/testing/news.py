"""An app under test with a stream that never ends by itself."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

app = FastAPI()
readers: list[str] = []


@app.get("/news", response_class=EventSourceResponse)
async def read_news(name: str = "ada") -> AsyncIterator[dict[str, int]]:
    readers.append(name)
    try:
        number = 0
        while True:
            yield {"number": number}
            number += 1
            await asyncio.sleep(0.05)
    finally:
        readers.remove(name)
