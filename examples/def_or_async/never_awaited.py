"""An async function that add_task cannot recognise is called and never awaited."""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def send_mail(to: str) -> None:
    print(f"mail sent to {to}")


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: object) -> Any:
        print(f"{function.__name__}: called")
        return function(*args)

    return wrapper


class Mailer:
    async def __call__(self, to: str) -> None:
        print(f"mail sent to {to}")


@logged
async def send_logged_mail(to: str) -> None:
    print(f"mail sent to {to}")


@app.post("/mails")
async def create_mails(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(lambda: send_mail("lambda"))  # never awaited
    background_tasks.add_task(send_logged_mail, "decorated")  # never awaited
    background_tasks.add_task(partial(send_mail, "partial"))
    background_tasks.add_task(Mailer(), "object")
    background_tasks.add_task(send_mail, "function")
    return {"message": "Tasks have been queued"}
