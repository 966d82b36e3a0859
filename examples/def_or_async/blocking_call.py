"""A blocking call in an async def task stops every other request; in a def task, none."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def build_report() -> None:
    print("build_report: started")
    time.sleep(1)  # stands in for any call that waits without await
    print("build_report: done")


def build_report_in_thread() -> None:
    print("build_report_in_thread: started")
    time.sleep(1)  # the same call
    print("build_report_in_thread: done")


@app.post("/report")
async def create_report(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(build_report)
    return {"message": "Task has been queued"}


@app.post("/report-in-thread")
async def create_report_in_thread(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(build_report_in_thread)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
