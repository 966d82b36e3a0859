"""An async task that blocks stalls the large response that it follows."""

import time

from fastapi import BackgroundTasks, FastAPI, Response

app = FastAPI()

EXPORT = b"id,total\n" + b"1001,25.90\n" * 3_000_000  # 33 MB


async def record_download() -> None:
    print("record_download: started")
    time.sleep(1)  # stands in for a database driver without await
    print("record_download: done")


@app.get("/export")
async def export(background_tasks: BackgroundTasks) -> Response:
    background_tasks.add_task(record_download)
    return Response(EXPORT, media_type="text/csv")
