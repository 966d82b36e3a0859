"""The work of a request is cancelled when its client goes, unless a middleware hides that."""

import asyncio

from anyio import CancelScope, create_task_group
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.middleware.base import RequestResponseEndpoint

app = FastAPI()


@app.middleware("http")
async def no_cache(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["Cache-Control"] = "no-store"
    return response


async def ask_model() -> str:
    print("ask_model: started")
    try:
        await asyncio.sleep(2)  # stands in for a language model
    except asyncio.CancelledError:
        print("ask_model: cancelled")
        raise
    print("ask_model: done")
    return "Tea is at four."


async def cancel_when_gone(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


@app.post("/answers")
async def answer(request: Request) -> dict[str, str]:
    async with create_task_group() as group:
        group.start_soon(cancel_when_gone, request, group.cancel_scope)
        text = await ask_model()
        group.cancel_scope.cancel()
        return {"answer": text}
    raise HTTPException(499, "nobody is there to read this")


async def cancel_when_disconnected(request: Request, scope: CancelScope) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)
    scope.cancel()


@app.post("/answers-polled")
async def answer_polled(request: Request) -> dict[str, str]:
    async with create_task_group() as group:
        group.start_soon(cancel_when_disconnected, request, group.cancel_scope)
        text = await ask_model()
        group.cancel_scope.cancel()
        return {"answer": text}
    raise HTTPException(499, "nobody is there to read this")
