"""The schedule in a process of its own: start it with `python`, the app with uvicorn."""

import time

from apscheduler.schedulers.blocking import BlockingScheduler
from fastapi import FastAPI

app = FastAPI()


def refresh_prices() -> None:
    time.sleep(0.2)  # stands in for a slow service
    print("refresh_prices: done", flush=True)


@app.get("/ping")
async def ping() -> dict[str, str]:
    return {"message": "pong"}


if __name__ == "__main__":
    scheduler = BlockingScheduler(timezone="Europe/Berlin")
    scheduler.add_job(refresh_prices, "interval", seconds=0.5)
    scheduler.start()
