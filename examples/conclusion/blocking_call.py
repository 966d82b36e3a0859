"""A blocking call in an async def task stops every other request."""

import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def build_report() -> None:
    print("build_report: started")
    time.sleep(1)  # stands in for a database driver or HTTP client without await
    print("build_report: done")


@app.post("/report")
async def create_report(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(build_report)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
