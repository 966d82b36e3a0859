"""A file sent or a large upload received waits for a thread as well."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, FastAPI, UploadFile
from fastapi.responses import FileResponse

folder = tempfile.TemporaryDirectory()
PRICES = Path(folder.name, "prices.csv")
PRICES.write_text("item,price\ntea,3.90\n")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    current_default_thread_limiter().total_tokens = 4  # without this line: 40
    yield


app = FastAPI(lifespan=lifespan)


def make_thumbnail() -> None:
    print("make_thumbnail: started")
    time.sleep(2)  # stands in for an image library
    print("make_thumbnail: done")


@app.post("/thumbnail")
async def create_thumbnail(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail)
    return {"message": "Task has been queued"}


@app.get("/prices")
async def read_prices() -> FileResponse:
    return FileResponse(PRICES, media_type="text/csv")


@app.post("/photo")
async def upload_photo(photo: UploadFile) -> dict[str, int | None]:
    return {"bytes": photo.size}
