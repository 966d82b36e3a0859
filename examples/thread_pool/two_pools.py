"""asyncio.to_thread takes its thread from another pool than a def task does."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with ThreadPoolExecutor(2, thread_name_prefix="report thread") as executor:
        asyncio.get_running_loop().set_default_executor(executor)
        yield


app = FastAPI(lifespan=lifespan)


def build_report() -> None:
    time.sleep(0.5)  # stands in for a slow query
    print(f"build_report ran in {threading.current_thread().name}")


async def build_report_with_asyncio() -> None:
    await asyncio.to_thread(build_report)


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(build_report)
    background_tasks.add_task(build_report_with_asyncio)
    return {"message": "Task has been queued"}
