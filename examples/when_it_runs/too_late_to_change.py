"""A task changes the status and a header, and the response has left already."""

from fastapi import BackgroundTasks, FastAPI, Response

app = FastAPI()


def mark_as_failed(response: Response) -> None:
    response.status_code = 500
    response.headers["x-receipt"] = "failed"
    print("mark_as_failed: done")


@app.post("/task")
async def create_task(
    background_tasks: BackgroundTasks, response: Response
) -> dict[str, str]:
    response.headers["x-receipt"] = "queued"
    background_tasks.add_task(mark_as_failed, response)
    return {"message": "Task has been queued"}
