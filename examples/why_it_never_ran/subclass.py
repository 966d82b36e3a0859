"""FastAPI makes its own BackgroundTasks, whichever subclass is asked for."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


class LoggedTasks(BackgroundTasks):
    def add_task(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        print(f"add_task: {func.__name__}")
        super().add_task(func, *args, **kwargs)


def send_receipt() -> None:
    print("send_receipt: done")


@app.post("/annotated")
async def annotate(tasks: LoggedTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"tasks": type(tasks).__name__}


def logged(tasks: BackgroundTasks) -> LoggedTasks:
    logged_tasks = LoggedTasks()
    logged_tasks.tasks = tasks.tasks  # the list that FastAPI will run
    return logged_tasks


@app.post("/depends")
async def depend(tasks: Annotated[LoggedTasks, Depends(logged)]) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"tasks": type(tasks).__name__}
