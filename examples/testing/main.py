"""The app under test: an order whose receipt is sent by a task."""

import time
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class Order(BaseModel):
    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)
    item: str = Field(min_length=1, max_length=80)


class Mailer:
    def send(self, to: str, text: str) -> None:
        time.sleep(1)  # stands in for a slow mail server
        print(f"send: {text!r} to {to}")


def send_receipt(mailer: Mailer, order: Order) -> None:
    mailer.send(order.email, f"Your order: {order.item}")


@app.post("/orders", status_code=202)
async def create_order(
    order: Order, tasks: BackgroundTasks, mailer: Annotated[Mailer, Depends()]
) -> dict[str, str]:
    tasks.add_task(send_receipt, mailer, order)
    return {"message": "Order has been received"}
