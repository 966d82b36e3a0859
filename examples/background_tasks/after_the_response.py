"""The task is over while a slow client is still downloading."""

from fastapi import BackgroundTasks, FastAPI, Response

app = FastAPI()

EXPORT = b"id,total\n" + b"1001,25.90\n" * 3_000_000  # 33 MB


def record_download() -> None:
    print("record_download: the server has the whole response")


@app.get("/export")
async def export(background_tasks: BackgroundTasks) -> Response:
    background_tasks.add_task(record_download)
    return Response(EXPORT, media_type="text/csv")
