"""Under uvicorn an info line is not shown, and a print waits in a container."""

import logging

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
logger = logging.getLogger(__name__)


def send_receipt() -> None:
    print("send_receipt: printed")
    logger.info("send_receipt: info")
    logger.warning("send_receipt: warning")


@app.post("/orders")
async def create_order(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}
