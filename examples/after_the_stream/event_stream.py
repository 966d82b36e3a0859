"""In an event stream a task runs before the generator has ended."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.sse import EventSourceResponse

app = FastAPI()


async def ask_model() -> AsyncIterator[str]:
    try:
        for number in range(20):
            await asyncio.sleep(0.2)  # stands in for a language model
            print(f"ask_model: word {number}")
            yield f"word {number}"
    finally:
        print("ask_model: closed")


async def save_answer(words: list[str]) -> None:
    print(f"save_answer: {len(words)} words")
    await asyncio.sleep(1)  # stands in for a slow database
    print("save_answer: done")


@app.get("/answer", response_class=EventSourceResponse)
async def answer(background_tasks: BackgroundTasks) -> AsyncIterator[str]:
    words: list[str] = []
    background_tasks.add_task(save_answer, words)
    async for word in ask_model():
        words.append(word)
        yield word
