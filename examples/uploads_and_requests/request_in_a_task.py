"""A task may read the request's state and address, but not a body nobody has read."""

from fastapi import BackgroundTasks, FastAPI, Request

app = FastAPI()


async def write_audit_log(request: Request) -> None:
    print(f"write_audit_log: {request.state.user} at {request.url.path}")
    print(f"write_audit_log: {await request.body()!r}")


@app.post("/unread")
async def leave_unread(
    request: Request, background_tasks: BackgroundTasks
) -> dict[str, str]:
    request.state.user = "ada"
    background_tasks.add_task(write_audit_log, request)
    return {"message": "Task has been queued"}


@app.post("/read")
async def read_first(
    request: Request, background_tasks: BackgroundTasks
) -> dict[str, str]:
    request.state.user = "ada"
    await request.body()
    background_tasks.add_task(write_audit_log, request)
    return {"message": "Task has been queued"}
