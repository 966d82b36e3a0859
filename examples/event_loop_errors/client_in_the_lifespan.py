"""The client is opened and closed in the server's loop; a test enters `TestClient` with `with`."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import httpx
from fastapi import FastAPI, Request

PARTNER = os.environ.get("PARTNER", "http://127.0.0.1:8000/partner")
client_of_the_module = httpx.AsyncClient()


class State(TypedDict):
    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    async with httpx.AsyncClient() as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)
loops: list[asyncio.AbstractEventLoop] = []


@app.get("/loops")
async def count_loops() -> int:
    loops.append(asyncio.get_running_loop())
    return len(set(loops))


@app.get("/made-at-import", responses={500: {}})
async def ask_with_client_of_the_module() -> int:
    return (await client_of_the_module.get(PARTNER)).status_code


@app.get("/made-in-the-lifespan", responses={500: {}})
async def ask(request: Request) -> int:
    client: httpx.AsyncClient = request.state.client
    return (await client.get(PARTNER)).status_code


@app.get("/partner")
async def partner() -> str:
    return "delivered"
