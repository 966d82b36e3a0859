"""A client cancels its work: a scope ends what awaits, a flag ends what runs in a thread."""

import threading
import time
from uuid import uuid4

import anyio
from fastapi import BackgroundTasks, FastAPI, HTTPException

app = FastAPI()
reports: dict[str, anyio.CancelScope] = {}
albums: dict[str, threading.Event] = {}


async def build_report(scope: anyio.CancelScope) -> None:
    with scope:
        await anyio.sleep(5)  # stands in for a slow query
    print(f"build_report: {'cancelled' if scope.cancelled_caught else 'done'}")


def resize_album(cancelled: threading.Event) -> None:
    for number in range(1, 11):
        if cancelled.is_set():
            print(f"resize_album: cancelled before picture {number}")
            return
        time.sleep(0.1)  # stands in for the work on one picture
    print("resize_album: done")


@app.post("/reports", status_code=202)
async def create_report(tasks: BackgroundTasks) -> dict[str, str]:
    report_id = uuid4().hex
    reports[report_id] = anyio.CancelScope()
    tasks.add_task(build_report, reports[report_id])
    return {"id": report_id}


@app.post("/albums", status_code=202)
async def create_album(tasks: BackgroundTasks) -> dict[str, str]:
    album_id = uuid4().hex
    albums[album_id] = threading.Event()
    tasks.add_task(resize_album, albums[album_id])
    return {"id": album_id}


@app.delete("/jobs/{job_id}", status_code=202, responses={404: {}})
async def cancel(job_id: str) -> dict[str, str]:
    if job_id in reports:
        reports[job_id].cancel()
    elif job_id in albums:
        albums[job_id].set()
    else:
        raise HTTPException(404, f"There is no job {job_id}.")
    return {"message": "The job will be cancelled"}
