"""The answer is saved when it is complete; a reader who leaves takes it with them."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()
answers: list[str] = []


async def ask_model() -> AsyncIterator[str]:
    for word in ["Tea", "is", "ready", "at", "four"]:
        await asyncio.sleep(0.3)  # stands in for a language model
        yield f"{word} "


async def save_answer(text: str) -> None:
    await asyncio.sleep(0.1)  # stands in for a database
    answers.append(text)
    print(f"save_answer: {text}")


async def stream_and_save() -> AsyncIterator[str]:
    text = ""
    try:
        async for word in ask_model():
            text += word
            yield word
    finally:
        await save_answer(text)


@app.get("/answer")
async def answer() -> StreamingResponse:
    return StreamingResponse(stream_and_save(), media_type="text/plain")


@app.get("/answers")
async def list_answers() -> list[str]:
    return answers
