"""One kept row in every 500 holds the memory of all; a process that ends gives it back."""

import ctypes
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException

Row = dict[str, Any]
kept: list[Row] = []  # stands in for a cache, or the result of the last job
app = FastAPI()


def megabytes() -> int:
    with open("/proc/self/statm") as statm:  # Linux
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def build_rows() -> list[Row]:
    rows = [{"name": f"name {n}"} for n in range(400_000)]
    print(f"build_rows: {megabytes()} MB", flush=True)
    return rows[::500]


def forget() -> None:
    build_rows()


def keep() -> None:
    kept.extend(build_rows())


def keep_from_a_process() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        kept.extend(process.submit(build_rows).result())


def read_pictures() -> None:
    pictures = [os.urandom(50_000) for _ in range(3_000)]
    print(f"read_pictures: {megabytes()} MB for {len(pictures)}")


def read_pictures_and_trim() -> None:
    read_pictures()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # of glibc, which Alpine has not


JOBS = {
    "forget": forget,
    "keep": keep,
    "keep-from-a-process": keep_from_a_process,
    "read-pictures": read_pictures,
    "read-pictures-and-trim": read_pictures_and_trim,
}


def run(name: str) -> None:
    before = megabytes()
    JOBS[name]()
    print(f"{name}: {before} MB before, {megabytes()} MB after", flush=True)


@app.post("/{name}", status_code=202, responses={404: {}})
async def create_job(name: str, tasks: BackgroundTasks) -> dict[str, str]:
    if name not in JOBS:
        raise HTTPException(404, f"There is no job {name}.")
    tasks.add_task(run, name)
    return {"message": "Task has been queued"}
