"""A response with a background of its own replaces the tasks that add_task has noted."""

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

app = FastAPI()


def write_audit_log() -> None:
    print("write_audit_log: done")


def send_receipt() -> None:
    print("send_receipt: done")


@app.post("/replaced")
async def replace_tasks(background_tasks: BackgroundTasks) -> JSONResponse:
    background_tasks.add_task(write_audit_log)  # never runs
    return JSONResponse({"ok": True}, background=BackgroundTask(send_receipt))


@app.post("/kept")
async def keep_tasks(background_tasks: BackgroundTasks) -> JSONResponse:
    background_tasks.add_task(write_audit_log)
    background_tasks.add_task(send_receipt)
    return JSONResponse({"ok": True})


@app.post("/handed-over")
async def hand_tasks_over(background_tasks: BackgroundTasks) -> JSONResponse:
    background_tasks.add_task(write_audit_log)
    background_tasks.add_task(send_receipt)
    return JSONResponse({"ok": True}, background=background_tasks)
