"""The model thinks for a while; the event stream sends a comment meanwhile."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse

app = FastAPI()


async def ask_model() -> AsyncIterator[str]:
    await asyncio.sleep(17)  # stands in for a model that thinks first
    yield "Tea is ready"


@app.get("/events", response_class=EventSourceResponse)
async def send_events() -> AsyncIterator[str]:
    async for text in ask_model():
        yield text


@app.get("/stream")
async def stream() -> StreamingResponse:
    return StreamingResponse(ask_model(), media_type="text/plain")
