"""In a TaskGroup the first exception cancels the others; what catches its own does not."""

import asyncio

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def send_mail() -> None:
    await asyncio.sleep(0.2)
    raise ConnectionError("the mail server refused the connection")


async def create_thumbnail() -> None:
    await asyncio.sleep(0.5)  # stands in for a slow computation elsewhere
    print("create_thumbnail: done")


async def try_to_send_mail() -> None:
    try:
        await send_mail()
    except ConnectionError as error:
        print(f"try_to_send_mail: {error}")


async def all_or_nothing() -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(send_mail())
            group.create_task(create_thumbnail())
    except* ConnectionError as errors:
        print(f"all_or_nothing: {errors.exceptions}")


async def each_on_its_own() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(try_to_send_mail())
        group.create_task(create_thumbnail())


@app.post("/all-or-nothing")
async def create_all_or_nothing(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(all_or_nothing)
    return {"message": "Task has been queued"}


@app.post("/each-on-its-own")
async def create_each_on_its_own(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(each_on_its_own)
    return {"message": "Task has been queued"}
