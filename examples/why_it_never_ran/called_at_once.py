"""A call in place of a function runs in the request, and its result is no task."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_receipt(order: int) -> None:
    print(f"send_receipt: {order} started")
    time.sleep(0.5)  # stands in for a mail server
    print(f"send_receipt: {order} done")


@app.post("/orders/{order}")
def create_order(order: int, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt(order))  # type: ignore[func-returns-value, arg-type]
    return {"message": "Task has been queued"}
