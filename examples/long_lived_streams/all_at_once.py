"""Read both streams through nginx: the words of one come all at once, at its end."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
AT_ONCE = {"X-Accel-Buffering": "no"}


async def ask_model() -> AsyncIterator[str]:
    for number in range(20):
        await asyncio.sleep(0.2)  # stands in for a model
        yield f"word {number}\n"
    print("ask_model: done")


@app.get("/held-back")
async def stream_held_back() -> StreamingResponse:
    return StreamingResponse(ask_model(), media_type="text/plain")


@app.get("/answer")
async def stream_answer() -> StreamingResponse:
    return StreamingResponse(ask_model(), media_type="text/plain", headers=AT_ONCE)
