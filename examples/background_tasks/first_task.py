"""The answer arrives first; the task starts after it."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_receipt() -> None:
    print("send_receipt: started")
    time.sleep(1)  # stands in for a slow mail server
    print("send_receipt: done")


@app.post("/task")
async def create_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
