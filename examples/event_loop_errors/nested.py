"""`nest_asyncio` lets asyncio's own loop run within itself; start this with `--loop uvloop`."""

import asyncio

import nest_asyncio
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def ask() -> str:
    await asyncio.sleep(0.1)  # stands in for a question to a service
    return "done"


def library_call() -> str:
    nest_asyncio.apply()  # as some libraries do
    return asyncio.run(ask())


async def call_on_the_loop() -> None:
    print(f"call_on_the_loop: {library_call()}")


def call_in_a_thread() -> None:
    print(f"call_in_a_thread: {library_call()}")


@app.post("/loop")
async def on_the_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(call_on_the_loop)
    return "queued"


@app.post("/thread")
async def in_a_thread(tasks: BackgroundTasks) -> str:
    tasks.add_task(call_in_a_thread)
    return "queued"
