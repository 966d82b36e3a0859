"""When the reader leaves, the model's server sees its caller go."""

import asyncio
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

app = FastAPI()


async def speak() -> AsyncIterator[str]:
    spoken = 0
    try:
        for word in ["Tea", "is", "ready", "at", "four"]:
            yield f"{word} "
            spoken += 1
            await asyncio.sleep(0.5)
    finally:
        print(f"model: spoke {spoken} words")


@app.get("/model")  # stands in for the provider's server
async def model() -> StreamingResponse:
    return StreamingResponse(speak(), media_type="text/plain")


async def ask_model(url: str) -> AsyncIterator[str]:
    async with (
        httpx.AsyncClient(timeout=httpx.Timeout(10, read=60)) as client,  # seconds
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()  # or an error page is the answer
        async for text in response.aiter_text():
            yield text


@app.get("/answer")
async def answer(request: Request) -> StreamingResponse:
    words = ask_model(f"{request.url_for('model')}")
    return StreamingResponse(words, media_type="text/plain")
