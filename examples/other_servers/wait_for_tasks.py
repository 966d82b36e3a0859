"""The lifespan waits for requests and their tasks, under a server that does not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, Path
from starlette.types import ASGIApp, Receive, Scope, Send

LIMIT = 20  # seconds, below the grace period of the platform
running: set[asyncio.Future[None]] = set()


class Counted:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        over = asyncio.get_running_loop().create_future()
        if scope["type"] == "http":
            running.add(over)
        try:
            await self.app(scope, receive, send)  # which ends after the tasks
        finally:
            running.discard(over)
            over.set_result(None)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    if running:
        _, late = await asyncio.wait(running, timeout=LIMIT)
        print(f"lifespan: {len(late)} requests still open")


app = FastAPI(lifespan=lifespan)
app.add_middleware(Counted)


async def build_report(number: int) -> None:
    print(f"build_report: {number} started")
    await asyncio.sleep(2)  # stands in for the queries of a report
    print(f"build_report: {number} done")


@app.post("/reports/{number}", status_code=202)
async def create_report(
    number: Annotated[int, Path(gt=0, lt=10**6)], tasks: BackgroundTasks
) -> dict[str, str]:
    tasks.add_task(build_report, number)
    return {"message": "Report has been queued"}
