"""A loop that a request begins keeps that request's context: every job seems to be its."""

import asyncio
from contextvars import ContextVar

from fastapi import FastAPI

user: ContextVar[str] = ContextVar("user", default="nobody")
jobs: asyncio.Queue[int] = asyncio.Queue(maxsize=100)
loops: list[asyncio.Task[None]] = []

app = FastAPI()


async def work() -> None:
    while True:
        number = await jobs.get()
        print(f"work: job {number} of {user.get()}")


@app.post("/users/{name}/jobs/{number}", status_code=202)
async def create_job(name: str, number: int) -> dict[str, str]:
    user.set(name)
    if not loops:
        loops.append(asyncio.create_task(work()))
    await jobs.put(number)
    return {"message": "Job has been queued"}
