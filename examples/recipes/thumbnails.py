"""Thumbnails of uploaded pictures, two at a time; the same picture again is not made again."""

import hashlib
import logging
import os
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated
from uuid import uuid4

import anyio.to_thread
from fastapi import BackgroundTasks, FastAPI, File, HTTPException, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from PIL import Image, ImageOps

app = FastAPI()
logger = logging.getLogger("thumbnails")
folder = Path(os.environ.get("PICTURES") or mkdtemp())
workers = anyio.CapacityLimiter(2)
FORMATS = ["JPEG", "PNG", "WEBP"]
MAX_PIXELS = 50_000_000
PictureId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}$")]


def check(data: bytes) -> None:
    """Read the header alone: the format and the size that the picture will have."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise HTTPException(422, "The picture has more than 50 million pixels.")
    except (OSError, ValueError, Image.DecompressionBombError):  # or it is damaged
        raise HTTPException(415, "Send a JPEG, PNG or WebP picture.") from None


def make_thumbnail(data: bytes, picture_id: str) -> None:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        picture = ImageOps.exif_transpose(image).convert("RGBA")
    picture.thumbnail((200, 200))
    white = Image.new("RGBA", picture.size, "white")
    thumbnail = Image.alpha_composite(white, picture).convert("RGB")
    unfinished = folder / f"{uuid4()}.part"
    thumbnail.save(unfinished, "JPEG")
    unfinished.replace(folder / f"{picture_id}.jpg")  # whole, or not there
    print(f"make_thumbnail: {picture_id[:8]} done")


async def make_thumbnail_in_turn(data: bytes, picture_id: str) -> None:
    (folder / f"{picture_id}.failed").unlink(missing_ok=True)
    try:
        if not (folder / f"{picture_id}.jpg").exists():
            await anyio.to_thread.run_sync(
                make_thumbnail, data, picture_id, limiter=workers
            )
    except Exception:
        logger.exception("make_thumbnail: %s failed", picture_id[:8])
        (folder / f"{picture_id}.failed").touch()


@app.post("/pictures", status_code=202, max_body_size=5_000_000)
def create_picture(
    picture: Annotated[bytes, File()], response: Response, tasks: BackgroundTasks
) -> dict[str, str]:
    check(picture)
    picture_id = hashlib.sha256(picture).hexdigest()
    tasks.add_task(make_thumbnail_in_turn, picture, picture_id)
    response.headers["Location"] = f"/pictures/{picture_id}/thumbnail"
    return {"id": picture_id}


@app.get(
    "/pictures/{picture_id}/thumbnail", response_class=FileResponse, responses={404: {}}
)
def read_thumbnail(picture_id: PictureId) -> FileResponse:
    file = folder / f"{picture_id}.jpg"
    if (folder / f"{picture_id}.failed").exists():
        raise HTTPException(422, "No thumbnail could be made.")
    if not file.exists():
        raise HTTPException(404, "There is no thumbnail, or not yet.")
    return FileResponse(file)
