"""What is kept at module level keeps the tasks of all requests."""

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse

app = FastAPI()
all_tasks = BackgroundTasks()
answer = JSONResponse({"message": "Task has been queued"})


def send_receipt(order: int) -> None:
    print(f"send_receipt: {order}")


@app.post("/kept-tasks/{order}")
async def keep_tasks(order: int) -> JSONResponse:
    all_tasks.add_task(send_receipt, order)
    return JSONResponse({"message": "Task has been queued"}, background=all_tasks)


@app.post("/kept-response/{order}")
async def keep_response(order: int, tasks: BackgroundTasks) -> JSONResponse:
    tasks.add_task(send_receipt, order)
    return answer
