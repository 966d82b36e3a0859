"""A BackgroundTasks that you make yourself runs only if a response takes it along."""

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()


def send_receipt(order: str) -> None:
    print(f"send_receipt: {order}")


@app.post("/forgotten")
async def forget_tasks() -> dict[str, str]:
    tasks = BackgroundTasks()
    tasks.add_task(send_receipt, "forgotten")
    return {"message": "Task has been queued"}


@app.post("/taken-along")
async def take_tasks_along() -> JSONResponse:
    tasks = BackgroundTasks()
    tasks.add_task(send_receipt, "taken along")
    return JSONResponse({"message": "Task has been queued"}, background=tasks)
