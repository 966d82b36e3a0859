"""A time limit ends the waiting; the thread, or the pool's process, goes on."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from typing import Literal

from fastapi import FastAPI, HTTPException

pools: dict[str, Executor] = {}


def warm_up() -> None:
    print("warm_up: done", flush=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    pools["thread"] = ThreadPoolExecutor(1)
    pools["process"] = ProcessPoolExecutor(1, get_context("spawn"))
    pools["process"].submit(warm_up).result()  # or the limit counts its imports
    yield
    for pool in pools.values():
        pool.shutdown(cancel_futures=True)


app = FastAPI(lifespan=lifespan)


def build_report(year: int) -> None:
    print(f"build_report: {year} started", flush=True)
    time.sleep(3 if year == 1984 else 0.1)  # stands in for a library without a timeout
    print(f"build_report: {year} done", flush=True)


@app.post("/{kind}/reports/{year}", responses={504: {}})
async def create_report(
    kind: Literal["thread", "process"], year: int
) -> dict[str, int]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(1):
            await loop.run_in_executor(pools[kind], build_report, year)
    except TimeoutError:
        print(f"create_report: {year} given up", flush=True)
        raise HTTPException(504, f"The report of {year} takes too long.") from None
    return {"year": year}
