"""Stop the server while a program runs, and see which of them goes on without it."""

import asyncio
import os
import signal
import subprocess
from contextlib import suppress

from fastapi import BackgroundTasks, FastAPI

SCRIPT = ["sh", "-c", "sleep 20; true"]  # stands in for a script that calls ffmpeg
LIMIT = 1.5

app = FastAPI()


def run_script() -> None:
    print("script: started")
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(SCRIPT, timeout=LIMIT)
    print("script: given up")


async def run_script_as_a_group() -> None:
    process = await asyncio.create_subprocess_exec(*SCRIPT, start_new_session=True)
    print("script: started")
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        print(f"script: ended with {await process.wait()}")


@app.post("/run")
async def add_def_task(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(run_script)
    return {"message": "Task has been queued"}


@app.post("/group")
async def add_async_task(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(run_script_as_a_group)
    return {"message": "Task has been queued"}


@app.post("/popen")
async def start_script() -> dict[str, str]:
    subprocess.Popen(SCRIPT)
    return {"message": "Script has been started"}


@app.post("/popen-timeout")
async def start_script_with_timeout() -> dict[str, str]:
    subprocess.Popen(["timeout", "5", *SCRIPT])
    return {"message": "Script has been started"}
