"""Stop this server while a process works that an endpoint has started, and see which of them goes on."""

import time
from multiprocessing import get_context
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path

Seconds = Annotated[int, Path(ge=0, le=60)]
LIMIT = 30

app = FastAPI()


def build_report(seconds: int) -> None:
    print("build_report: started", flush=True)
    time.sleep(seconds)  # stands in for a computation
    print("build_report: done", flush=True)


def build_and_wait(seconds: int) -> None:
    process = get_context("spawn").Process(target=build_report, args=(seconds,))
    process.start()
    process.join(LIMIT)
    if process.is_alive():
        process.kill()
        process.join()
    print(f"build_and_wait: ended with {process.exitcode}")


@app.post("/spawn/{seconds}")
async def spawn(seconds: Seconds, daemon: bool = False) -> int | None:
    context = get_context("spawn")
    process = context.Process(target=build_report, args=(seconds,), daemon=daemon)
    process.start()
    return process.pid


@app.post("/fork/{seconds}")
async def fork(seconds: Seconds, daemon: bool = False) -> int | None:
    context = get_context("fork")
    process = context.Process(target=build_report, args=(seconds,), daemon=daemon)
    process.start()
    return process.pid


@app.post("/task/{seconds}")
async def add_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(build_and_wait, seconds)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
