"""A library that starts a loop of its own runs in a `def` task and fails in an `async def` one."""

import asyncio

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def ask() -> str:
    await asyncio.sleep(0.1)  # stands in for a question to a service
    return "done"


def library_call() -> str:
    return asyncio.run(ask())  # stands in for a library that hides this


def old_library_call() -> str:
    return asyncio.get_event_loop().run_until_complete(ask())


def call_in_a_thread() -> None:
    print(f"call_in_a_thread: {library_call()}")


async def call_on_the_loop() -> None:
    print(f"call_on_the_loop: {library_call()}")


def old_call_in_a_thread() -> None:
    print(f"old_call_in_a_thread: {old_library_call()}")


def old_call_with_a_loop() -> None:
    with asyncio.Runner() as runner:
        runner.get_loop()  # makes a loop, and sets it for this thread
        print(f"old_call_with_a_loop: {old_library_call()}")


async def old_call_on_the_loop() -> None:
    print(f"old_call_on_the_loop: {old_library_call()}")


@app.post("/thread")
async def in_a_thread(tasks: BackgroundTasks) -> str:
    tasks.add_task(call_in_a_thread)
    return "queued"


@app.post("/loop")
async def on_the_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(call_on_the_loop)
    return "queued"


@app.post("/old-thread")
async def old_in_a_thread(tasks: BackgroundTasks) -> str:
    tasks.add_task(old_call_in_a_thread)
    return "queued"


@app.post("/old-thread-with-a-loop")
async def old_in_a_thread_with_a_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(old_call_with_a_loop)
    return "queued"


@app.post("/old-loop")
async def old_on_the_loop(tasks: BackgroundTasks) -> str:
    tasks.add_task(old_call_on_the_loop)
    return "queued"
