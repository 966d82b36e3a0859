"""A hundred accepted orders, a killed process: no receipt is sent that was still to come."""

import time
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path

app = FastAPI()


def send_receipt(order_id: int, item: str) -> None:
    print(f"send_receipt: order {order_id} started", flush=True)
    time.sleep(5 if item == "slow" else 0.1)  # stands in for a mail server
    print(f"send_receipt: order {order_id} done", flush=True)


@app.post("/orders/{order_id}/{item}", status_code=202)
async def create_order(
    order_id: Annotated[int, Path(gt=0, lt=2**31)], item: str, tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(send_receipt, order_id, item)
    return {"message": f"A receipt for {item} will be sent"}
