"""The model fails in the middle: the client has a 200, and the task never runs."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def ask_model() -> AsyncIterator[str]:
    yield "Tea is "
    await asyncio.sleep(0.2)  # stands in for a language model
    raise ConnectionError("the model has gone")


def save_answer() -> None:
    print("save_answer: done")


@app.get("/answer")
async def answer(background_tasks: BackgroundTasks) -> StreamingResponse:
    background_tasks.add_task(save_answer)
    return StreamingResponse(ask_model(), media_type="text/plain")


async def ask_and_say_so() -> AsyncIterator[str]:
    try:
        async for text in ask_model():
            yield text
    except ConnectionError:
        yield "(the model has failed)"


@app.get("/answer-to-the-end")
async def answer_to_the_end(background_tasks: BackgroundTasks) -> StreamingResponse:
    background_tasks.add_task(save_answer)
    return StreamingResponse(ask_and_say_so(), media_type="text/plain")
