"""GET /threads says how many threads are at work and how many calls wait for one."""

import time

from anyio.to_thread import current_default_thread_limiter
from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def make_thumbnail() -> None:
    time.sleep(10)  # stands in for an image library, which blocks its thread


@app.post("/thumbnail")
async def create_thumbnail(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(make_thumbnail)
    return {"message": "Task has been queued"}


@app.get("/threads")
async def read_threads() -> dict[str, int]:
    pool = current_default_thread_limiter().statistics()
    return {
        "limit": int(pool.total_tokens),
        "at_work": pool.borrowed_tokens,
        "waiting": pool.tasks_waiting,
    }
