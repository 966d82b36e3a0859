"""What has a task group in it is entered in one request and left in another."""

import asyncio

import anyio
from anyio.abc import TaskGroup
from fastapi import FastAPI, HTTPException

app = FastAPI()
opened: list[TaskGroup] = []
held: list[tuple[asyncio.Event, asyncio.Task[None]]] = []


async def listen() -> None:
    try:
        await anyio.sleep_forever()  # stands in for a client of a model's tools
    finally:
        print("listen: ended")


@app.post("/connection", status_code=201)
async def open_connection() -> None:
    group = await anyio.create_task_group().__aenter__()
    group.start_soon(listen)
    opened.append(group)


@app.delete("/connection", status_code=204, responses={404: {}, 500: {}})
async def close_connection() -> None:
    if not opened:
        raise HTTPException(404, "There is no connection.")
    group = opened.pop()
    group.cancel_scope.cancel()
    await group.__aexit__(None, None, None)


async def hold(leave: asyncio.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        await leave.wait()
        group.cancel_scope.cancel()


@app.post("/held", status_code=201)
async def open_in_a_task() -> None:
    leave = asyncio.Event()
    held.append((leave, asyncio.create_task(hold(leave))))


@app.delete("/held", status_code=204, responses={404: {}})
async def close_in_its_task() -> None:
    if not held:
        raise HTTPException(404, "There is no connection.")
    leave, task = held.pop()
    leave.set()
    await task
