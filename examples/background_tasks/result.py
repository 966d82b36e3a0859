"""What a task returns is thrown away; what the response needs is awaited."""

import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.concurrency import run_in_threadpool

app = FastAPI()


def count_words(text: str) -> int:
    time.sleep(0.2)  # stands in for slow work
    return len(text.split())


@app.get("/thrown-away")
async def throw_away(text: str, tasks: BackgroundTasks) -> dict[str, int | None]:
    result: int | None = tasks.add_task(count_words, text)  # type: ignore[func-returns-value]
    return {"words": result}


@app.get("/awaited")
async def wait_for_it(text: str) -> dict[str, int | None]:
    return {"words": await run_in_threadpool(count_words, text)}
