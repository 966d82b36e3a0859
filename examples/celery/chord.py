"""A chord publishes the album when each picture is done, and not at all if one has failed."""

import os
from typing import Annotated, Any

from celery import Celery, chord
from fastapi import FastAPI, Path

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)
Pictures = Annotated[int, Path(gt=0, le=100)]


@queue.task
def resize(picture: int) -> str:
    if picture == 13:
        raise ValueError("picture 13 is no picture")
    print(f"resize: picture {picture}", flush=True)
    return f"{picture}.webp"


@queue.task
def publish_album(names: list[str]) -> None:
    print(f"publish_album: {' '.join(names)}", flush=True)


@queue.task
def tell_the_owner(_request: Any, error: Exception, _traceback: Any) -> None:
    print(f"tell_the_owner: {error!r}", flush=True)


app = FastAPI()


@app.post("/albums/{pictures}", status_code=202)
def create_album(pictures: Pictures) -> dict[str, str]:
    parts = [resize.s(number) for number in range(1, pictures + 1)]
    callback = publish_album.s().on_error(tell_the_owner.s())
    return {"job": chord(parts)(callback).id}


@app.get("/jobs/{job_id}")
def read_job(job_id: str) -> dict[str, str | None]:
    job = queue.AsyncResult(job_id)
    error = repr(job.result) if job.failed() else None  # for you, not for clients
    return {"status": job.status, "error": error}
