"""Nobody fills in the dependencies of a task: it gets the marker in place of the value."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI

app = FastAPI()


def read_settings() -> dict[str, str]:
    return {"mail server": "mail.example.com"}


def send_receipt(settings: Any = Depends(read_settings)) -> None:  # noqa: B008
    print(f"send_receipt: {settings}")


@app.post("/not-resolved")
async def leave_it_to_fastapi(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"message": "Task has been queued"}


@app.post("/passed-on")
async def pass_it_on(
    tasks: BackgroundTasks,
    settings: Annotated[dict[str, str], Depends(read_settings)],
) -> dict[str, str]:
    tasks.add_task(send_receipt, settings)
    return {"message": "Task has been queued"}
