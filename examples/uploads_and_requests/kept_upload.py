"""Work that outlives the request gets a copy of the upload, and deletes it."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from fastapi import FastAPI, UploadFile
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
temporary = tempfile.TemporaryDirectory()
folder = Path(os.environ.get("UPLOADS", temporary.name))
running: set[asyncio.Task[None]] = set()


def copy_of(upload: UploadFile) -> Path:
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
        shutil.copyfileobj(upload.file, file)  # in pieces, whatever its size
    return Path(file.name)


async def transcode(video: Path) -> None:
    try:
        await asyncio.sleep(0.3)  # stands in for slow work
        print(f"transcode: {video.stat().st_size} bytes")
    finally:
        video.unlink()


@app.post("/videos", status_code=202)
async def create_video(video: UploadFile) -> dict[str, str]:
    kept = await run_in_threadpool(copy_of, video)
    task = asyncio.create_task(transcode(kept))
    running.add(task)
    task.add_done_callback(running.discard)
    return {"message": "The video is being transcoded"}
