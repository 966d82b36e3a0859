"""The tasks of an event stream start when the stream ends."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, FastAPI
from fastapi.sse import EventSourceResponse

app = FastAPI()


def archive_chat(message: str) -> None:
    time.sleep(0.2)  # stands in for a slow database
    print(f"archive_chat: {message}")


@app.get("/answer", response_class=EventSourceResponse)
async def answer(background_tasks: BackgroundTasks) -> AsyncIterator[str]:
    background_tasks.add_task(archive_chat, "Tea is ready")
    for word in ["Tea", "is", "ready"]:
        await asyncio.sleep(0.2)  # stands in for a language model
        yield word
    print("answer: last word")
