"""One client, two loops: every second call from a loop of its own fails."""

import asyncio

import httpx
from anyio import from_thread
from fastapi import BackgroundTasks, FastAPI, Request

app = FastAPI()
client = httpx.AsyncClient()  # keeps its connection for the next call


async def deliver(url: str) -> None:
    response = await client.get(url)
    print(f"deliver: {response.status_code}")


def deliver_in_a_new_loop(url: str) -> None:
    asyncio.run(deliver(url))


def deliver_in_the_servers_loop(url: str) -> None:
    from_thread.run(deliver, url)


async def deliver_inside_a_loop(url: str) -> None:
    asyncio.run(deliver(url))


@app.get("/partner")
async def partner() -> str:
    return "delivered"


@app.post("/new-loop")
async def new_loop(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(deliver_in_a_new_loop, f"{request.base_url}partner")
    return "queued"


@app.post("/servers-loop")
async def servers_loop(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(deliver_in_the_servers_loop, f"{request.base_url}partner")
    return "queued"


@app.post("/inside-a-loop")
async def inside_a_loop(request: Request, tasks: BackgroundTasks) -> str:
    tasks.add_task(deliver_inside_a_loop, f"{request.base_url}partner")
    return "queued"
