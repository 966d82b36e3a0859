"""Tasks that wait hold their arguments; the client has long had its answer."""

import threading
from typing import Annotated

from fastapi import BackgroundTasks, Body, FastAPI

app = FastAPI()
printer_is_ready = threading.Event()


def print_label(picture: bytes) -> None:
    printer_is_ready.wait()  # stands in for a printer that has no paper
    print(f"print_label: {len(picture)} bytes")


@app.post("/labels", status_code=202)
async def create_label(
    picture: Annotated[bytes, Body(media_type="image/png")], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(print_label, picture)
    return {"message": "Task has been queued"}


@app.post("/printer")
async def bring_paper() -> None:
    printer_is_ready.set()
