"""A call in the place of a function, and a wrong argument, fail after the 200."""

from typing import Any

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def send_mail(to: str) -> None:
    print(f"mail sent to {to}")


@app.post("/called")
async def add_a_call(background_tasks: BackgroundTasks) -> dict[str, str]:
    call: Any = send_mail("ada@example.com")
    background_tasks.add_task(call)
    return {"message": "Task has been queued"}


@app.post("/wrong-argument")
async def add_a_wrong_argument(background_tasks: BackgroundTasks) -> dict[str, str]:
    function: Any = send_mail
    background_tasks.add_task(function, address="ada@example.com")
    return {"message": "Task has been queued"}
