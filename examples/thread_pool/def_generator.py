"""A stream from a def generator takes a thread for each of its chunks."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import current_thread

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI
from fastapi.responses import StreamingResponse


class TextStream(StreamingResponse):
    media_type = "text/plain"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 1  # without this line: 40
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/blocking-client", response_class=TextStream)
def stream_from_blocking_client() -> Iterator[str]:
    for number in range(3):
        print(f"word {number} is asked for in {current_thread().name}")
        time.sleep(1)  # stands in for a model behind a blocking client
        print(f"word {number} has come")
        yield f"word {number}\n"


@app.get("/async-client", response_class=TextStream)
async def stream_from_async_client() -> AsyncIterator[str]:
    for number in range(3):
        print(f"word {number} is asked for in {current_thread().name}")
        await asyncio.sleep(1)  # stands in for a model behind an async client
        print(f"word {number} has come")
        yield f"word {number}\n"


@app.get("/def")
def read_user() -> str:
    return "ada"
