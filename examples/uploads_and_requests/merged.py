"""Tasks added in dependencies run first, in the order of the dependencies."""

import time
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


def write_audit_log(who: str) -> None:
    time.sleep(0.2)  # stands in for a slow disk
    print(f"write_audit_log: added by {who}")


def read_user(background_tasks: BackgroundTasks) -> str:
    background_tasks.add_task(write_audit_log, "read_user")
    return "ada"


class Notifier:
    def __init__(self, background_tasks: BackgroundTasks) -> None:
        background_tasks.add_task(write_audit_log, "Notifier")
        self.background_tasks = background_tasks

    def notify(self, who: str) -> None:
        self.background_tasks.add_task(write_audit_log, who)


@app.post("/orders")
async def create_order(
    background_tasks: BackgroundTasks,
    user: Annotated[str, Depends(read_user)],
    notifier: Annotated[Notifier, Depends()],
) -> dict[str, str]:
    background_tasks.add_task(write_audit_log, "create_order")
    notifier.notify("create_order, through Notifier")
    return {"user": user}
