"""A process of Celery's may have no children: let Celery make the processes."""

import os
from multiprocessing import get_context
from typing import Annotated

from celery import Celery, group
from fastapi import FastAPI, Path

BROKER = os.environ.get("BROKER", "redis://127.0.0.1:6379")
queue = Celery("shop", broker=BROKER, backend=BROKER)
Pictures = Annotated[int, Path(gt=0, le=100)]


@queue.task
def resize_in_a_pool(pictures: int) -> None:
    with get_context("spawn").Pool(2) as pool:  # a fork may hang beside threads
        pool.map(abs, range(pictures))


@queue.task
def resize(picture: int) -> None:
    print(f"resize: picture {picture}", flush=True)


app = FastAPI()


@app.post("/albums-in-a-pool/{pictures}", status_code=202)
def create_album_in_a_pool(pictures: Pictures) -> dict[str, str]:
    return {"job": resize_in_a_pool.delay(pictures).id}


@app.post("/albums/{pictures}", status_code=202)
def create_album(pictures: Pictures) -> dict[str, str]:
    return {"job": group(resize.s(n) for n in range(pictures)).delay().id}
