"""Two tasks of one request run one after the other, in the order added."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_welcome_email() -> None:
    print("send_welcome_email: started")
    time.sleep(1)  # stands in for a slow mail server
    print("send_welcome_email: done")


def create_thumbnail() -> None:
    print("create_thumbnail: started")
    time.sleep(1)  # stands in for an image library
    print("create_thumbnail: done")


@app.post("/multi-task")
async def create_multiple_tasks(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(send_welcome_email)
    background_tasks.add_task(create_thumbnail)
    return {"message": "Multiple tasks have been queued"}
