"""The task after the stream saves what the stream has collected."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def ask_model() -> AsyncIterator[str]:
    for word in ["Tea", "is", "ready", "at", "four"]:
        await asyncio.sleep(0.3)  # stands in for a language model
        yield f"{word} "


async def save_answer(words: list[str]) -> None:
    await asyncio.sleep(0.1)  # stands in for a database
    text = "".join(words)
    print(f"save_answer: {text}")


async def collect(words: list[str]) -> AsyncIterator[str]:
    async for word in ask_model():
        words.append(word)
        yield word


@app.get("/answer")
async def answer(background_tasks: BackgroundTasks) -> StreamingResponse:
    words: list[str] = []
    background_tasks.add_task(save_answer, words)
    return StreamingResponse(collect(words), media_type="text/plain")
