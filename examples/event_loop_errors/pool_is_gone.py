"""A task runs after the response, and the pool of the endpoint's `with` is shut down by then."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.pool = pool = ThreadPoolExecutor()
    yield
    await asyncio.to_thread(pool.shutdown)  # waits for its work, and not on the loop


app = FastAPI(lifespan=lifespan)


def convert_prices() -> None:
    print("convert_prices: done")


async def convert_in(pool: ThreadPoolExecutor) -> None:
    await asyncio.get_running_loop().run_in_executor(pool, convert_prices)


@app.post("/pool-of-the-endpoint", status_code=202)
async def create_too_late(tasks: BackgroundTasks) -> str:
    with ThreadPoolExecutor() as pool:
        tasks.add_task(convert_in, pool)
    return "queued"


@app.post("/pool-of-the-lifespan", status_code=202)
async def create_in_time(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(convert_in, request.app.state.pool)
    return "queued"


def convert_for_ever() -> None:
    with ThreadPoolExecutor() as pool:
        while True:
            pool.submit(convert_prices).result()
            time.sleep(0.1)


@app.post("/thread", status_code=202)
def start_thread() -> str:
    threading.Thread(target=convert_for_ever).start()
    return "started"
