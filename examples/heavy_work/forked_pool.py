"""A forked child keeps the server's signal handlers and its socket, and outlives it."""

import asyncio
import os
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context

from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, ProcessPoolExecutor]]:
    with (
        ProcessPoolExecutor(1, get_context("fork")) as forked,
        ProcessPoolExecutor(1, get_context("spawn")) as spawned,
    ):
        yield {"fork": forked, "spawn": spawned}


app = FastAPI(lifespan=lifespan)


@app.post("/fork")
async def create_in_fork(request: Request) -> int:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.state.fork, os.getpid)


@app.post("/spawn")
async def create_in_spawn(request: Request) -> int:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(request.state.spawn, os.getpid)
