"""gunicorn's worker with a limit for its end: watch the task say where it was."""

import asyncio
from typing import Any, ClassVar

from fastapi import BackgroundTasks, FastAPI
from uvicorn_worker import UvicornWorker


class Worker(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"timeout_graceful_shutdown": 20}


app = FastAPI()


async def import_pages() -> None:
    page = 0
    try:
        for page in range(1, 301):
            await asyncio.sleep(0.1)  # stands in for fetching a page
            print(f"import_pages: page {page}")
    finally:
        print(f"import_pages: ended at page {page}")


@app.post("/imports", status_code=202)
async def start_import(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(import_pages)
    return {"message": "Task has been queued"}
