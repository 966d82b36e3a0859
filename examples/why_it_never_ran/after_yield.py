"""A dependency adds one task before yield, which runs, and one after, which does not."""

import time
from collections.abc import AsyncIterator

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


def write_audit_log(text: str) -> None:
    time.sleep(0.2)  # stands in for a slow disk
    print(f"write_audit_log: {text}")


async def audit(background_tasks: BackgroundTasks) -> AsyncIterator[None]:
    background_tasks.add_task(write_audit_log, "added before yield")
    yield
    background_tasks.add_task(write_audit_log, "added after yield")
    print("audit: task added after yield")


@app.post("/orders", dependencies=[Depends(audit)])
async def create_order() -> dict[str, str]:
    return {"message": "Order has been created"}
