"""Stop the process after the answer, as a platform does: the task goes on when it is woken."""

import asyncio
import threading
import time

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def export_pages() -> None:
    print("export_pages: started")
    for page in range(1, 6):
        await asyncio.sleep(0.3)  # stands in for a slow query
        print(f"export_pages: page {page}")
    print("export_pages: done")


@app.post("/exports", status_code=202)
async def start_export(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(export_pages)
    return {"message": "The export has been started"}


async def export_within(seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await export_pages()
    except TimeoutError:
        print("export_within: gave up")


@app.post("/exports-with-a-limit", status_code=202)
async def start_limited_export(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(export_within, 2.5)
    return {"message": "The export has been started"}


def watch_prices() -> None:
    print("watch_prices: started")
    for number in range(1, 6):
        time.sleep(0.3)  # stands in for a slow query
        print(f"watch_prices: price {number}")
    print("watch_prices: done")


@app.post("/prices", status_code=202)
async def start_watching() -> dict[str, str]:
    threading.Thread(target=watch_prices).start()
    return {"message": "Prices are watched"}


@app.post("/exports-before-the-answer")
async def export_before_the_answer() -> dict[str, str]:
    await export_pages()
    return {"message": "The export is done"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
