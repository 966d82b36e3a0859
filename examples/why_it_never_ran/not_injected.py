"""FastAPI goes by the annotation: without it, the tasks are added to a default value."""

from typing import Any

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def send_receipt() -> None:
    print("send_receipt: done")


@app.post("/not-annotated", responses={500: {"description": "A client sent one"}})
async def forget_annotation(
    background_tasks: Any = BackgroundTasks(),  # noqa: B008
) -> dict[str, int]:
    background_tasks.add_task(send_receipt)
    return {"never run": len(background_tasks.tasks)}


@app.post("/optional")
async def annotate_with_a_default(
    background_tasks: BackgroundTasks = None,  # type: ignore[assignment]
) -> dict[str, int]:
    background_tasks.add_task(send_receipt)
    return {"will run": len(background_tasks.tasks)}


@app.post("/no-brackets", responses={500: {"description": "The class is no list"}})
async def forget_brackets(background_tasks: Any = BackgroundTasks) -> dict[str, int]:
    background_tasks.add_task(send_receipt)
    return {"never run": 1}
