"""A task calls sys.exit: the server lives on."""

import sys

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def import_catalogue() -> None:
    print("import_catalogue: no such file")
    sys.exit(1)


@app.post("/import")
async def start_import(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(import_catalogue)
    return {"message": "Task has been queued"}


async def import_prices() -> None:
    print("import_prices: no such file")
    sys.exit(1)


@app.post("/import-prices")
async def start_import_of_prices(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(import_prices)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
