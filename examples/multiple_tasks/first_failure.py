"""The first task raises: the client has its 200, and the second never starts."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_welcome_email() -> None:
    print("send_welcome_email: started")
    time.sleep(0.5)  # stands in for a mail server that takes its time to refuse
    raise ConnectionError("the mail server refused the connection")


def create_thumbnail() -> None:
    print("create_thumbnail: started")


@app.post("/multi-task")
async def create_multiple_tasks(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_welcome_email)
    background_tasks.add_task(create_thumbnail)
    print(f"{len(background_tasks.tasks)} tasks added")
    return {"message": "Multiple tasks have been queued"}
