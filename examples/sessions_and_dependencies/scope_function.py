"""With scope="function" a dependency ends before the response and the tasks."""

import time
from collections.abc import Iterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


def open_session() -> Iterator[str]:
    print("session: opened")
    yield "session"
    print("session: closed")


def send_receipt() -> None:
    time.sleep(0.2)  # stands in for a slow mail server
    print("send_receipt: done")


@app.post("/orders")
async def create_order(
    session: Annotated[str, Depends(open_session, scope="function")],
    background_tasks: BackgroundTasks,
) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
