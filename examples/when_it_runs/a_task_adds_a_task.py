"""A task adds another task to the same BackgroundTasks, and that one runs too."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def charge_card(background_tasks: BackgroundTasks) -> None:
    time.sleep(0.2)  # stands in for a slow service
    print("charge_card: done")
    background_tasks.add_task(send_receipt)


def send_receipt() -> None:
    time.sleep(0.2)  # stands in for a slow service
    print("send_receipt: done")


def clear_basket() -> None:
    time.sleep(0.2)  # stands in for a slow service
    print("clear_basket: done")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(charge_card, background_tasks)
    background_tasks.add_task(clear_basket)
    return {"message": "Tasks have been queued"}
