"""stamina calls the task again, later each time, until it succeeds."""

import stamina
from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()

answers = iter(["refused", "refused", "accepted"])  # stands in for a mail server


@stamina.retry(on=ConnectionError, attempts=4, wait_initial=0.2, wait_jitter=0)
def send_receipt(order_id: int) -> None:
    answer = next(answers, "accepted")
    print(f"send_receipt: order {order_id} {answer}")
    if answer == "refused":
        raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
async def create_order(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt, 7)
    return {"message": "Task has been queued"}


@app.get("/threads")
async def read_threads() -> dict[str, int]:
    return {"at_work": current_default_thread_limiter().borrowed_tokens}
