"""What follows the function in add_task is passed to it when it runs."""

import time
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class Order(BaseModel):
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    item: Annotated[str, Field(min_length=1, max_length=80)]


def send_receipt(email: str, item: str, copies: int) -> None:
    time.sleep(0.5)  # stands in for a slow mail server
    print(f"receipt for {item!r} to {email}, copies: {copies}")


@app.post("/task", status_code=202)
async def create_task(
    order: Order, background_tasks: BackgroundTasks
) -> dict[str, str]:
    background_tasks.add_task(send_receipt, order.email, order.item, copies=2)
    return {"message": "Task has been queued"}
