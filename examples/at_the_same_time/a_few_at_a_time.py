"""One task sends to all readers, three at a time, with a time limit for each and for all."""

import asyncio
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path

app = FastAPI()


async def send_mail(number: int) -> None:
    await asyncio.sleep(5 if number == 2 else 0.2)  # the server of number 2 hangs


async def send_newsletter(readers: int) -> None:
    connections = asyncio.Semaphore(3)
    sent = []

    async def send_in_time(number: int) -> None:
        async with connections:
            try:
                async with asyncio.timeout(1):
                    await send_mail(number)
            except Exception as error:
                print(f"send_newsletter: mail {number}: {error!r}")
            else:
                sent.append(number)

    try:
        async with asyncio.timeout(2), asyncio.TaskGroup() as group:
            for number in range(1, readers + 1):
                group.create_task(send_in_time(number))
    except TimeoutError:
        print("send_newsletter: out of time")
    print(f"send_newsletter: {len(sent)} of {readers} sent")


@app.post("/newsletters/{readers}")
async def create_newsletter(
    readers: Annotated[int, Path(ge=1, le=1000)], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(send_newsletter, readers)
    return {"message": "Task has been queued"}
