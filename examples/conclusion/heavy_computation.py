"""A computation in a def task slows every other request, thread or not."""

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


def compute_forecast() -> None:
    print("compute_forecast: started")
    total = sum(day * day % 7 for day in range(30_000_000))
    print(f"compute_forecast: done, {total}")


@app.post("/forecast")
async def create_forecast(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(compute_forecast)
    return {"message": "Task has been queued"}


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}
