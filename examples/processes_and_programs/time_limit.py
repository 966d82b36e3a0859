"""At its time limit a program is killed, in a thread or on the loop; a timeout alone lets it run on."""

import asyncio
import subprocess
from contextlib import suppress
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path

Seconds = Annotated[int, Path(ge=0, le=60)]
LIMIT = 1.5

app = FastAPI()


def ffmpeg(seconds: int) -> list[str]:
    return ["sleep", str(seconds)]  # stands in for a program that takes its time


def transcode(seconds: int) -> None:
    print("transcode: started")
    try:
        subprocess.run(ffmpeg(seconds), timeout=LIMIT, check=True)
        print("transcode: done")
    except subprocess.TimeoutExpired:
        print("transcode: killed")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"transcode: {error}")


async def transcode_on_the_loop(seconds: int) -> None:
    print("transcode: started")
    process = await asyncio.create_subprocess_exec(*ffmpeg(seconds))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        code = await process.wait()
        ends = "killed" if code < 0 else f"failed with {code}" if code else "done"
        print(f"transcode: {ends}")


async def transcode_and_look_away(seconds: int) -> None:
    process = await asyncio.create_subprocess_exec(*ffmpeg(seconds))
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT):
            await process.wait()
    print("transcode: given up")


@app.post("/def/{seconds}")
async def add_def_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(transcode, seconds)
    return {"message": "Task has been queued"}


@app.post("/async-def/{seconds}")
async def add_async_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(transcode_on_the_loop, seconds)
    return {"message": "Task has been queued"}


@app.post("/timeout-alone/{seconds}")
async def add_wrong_task(seconds: Seconds, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(transcode_and_look_away, seconds)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
