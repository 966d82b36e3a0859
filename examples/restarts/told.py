"""A task that is told of the stop puts down where it is, and ends."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import current_thread, main_thread
from types import FrameType

from fastapi import BackgroundTasks, FastAPI

stopping = asyncio.Event()


def tell_before(number: signal.Signals, loop: asyncio.AbstractEventLoop) -> None:
    """Let the event know of a signal, and then do what uvicorn does."""
    of_uvicorn = signal.getsignal(number)
    if not callable(of_uvicorn) or current_thread() is not main_thread():
        return  # a test: there is no server, and nobody to tell

    def tell(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        of_uvicorn(number, frame)

    signal.signal(number, tell)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    for number in (signal.SIGTERM, signal.SIGINT):
        tell_before(number, asyncio.get_running_loop())
    yield


app = FastAPI(lifespan=lifespan)


async def import_pages() -> None:
    for page in range(1, 1001):
        if stopping.is_set():
            print(f"import_pages: goes on at page {page} next time")
            return
        await asyncio.sleep(0.1)  # stands in for a slow shop
        print(f"import_pages: page {page}")


@app.post("/imports", status_code=202)
async def start_import(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(import_pages)
    return {"message": "Task has been queued"}
