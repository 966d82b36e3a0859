"""A file that is made for one response is deleted by a task after it."""

import os
import tempfile
from pathlib import Path

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import FileResponse

app = FastAPI()
temporary = tempfile.TemporaryDirectory()
folder = Path(os.environ.get("EXPORTS", temporary.name))


def delete(file: Path) -> None:
    file.unlink()
    print(f"delete: {file.name}")


@app.get("/export", response_class=FileResponse)
def export(tasks: BackgroundTasks) -> FileResponse:
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:
        file.write("order,item\n7,tea\n" * 1_000_000)
    tasks.add_task(delete, Path(file.name))
    return FileResponse(file.name, filename="orders.csv")


@app.get("/gone-too-soon", response_class=FileResponse, responses={500: {}})
def export_too_briefly() -> FileResponse:
    with tempfile.NamedTemporaryFile("w", dir=folder) as file:
        file.write("order,item\n7,tea\n")
        file.flush()
        return FileResponse(file.name, filename="orders.csv")
