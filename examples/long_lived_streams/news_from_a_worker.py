"""A worker has none of the app's sockets: it publishes, and each process tells its own."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import redis
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from redis.asyncio import Redis

REDIS = os.environ.get("REDIS", "redis://127.0.0.1:6379")
open_sockets: set[WebSocket] = set()  # of this process: each has a set of its own


def build_report(number: int) -> None:  # the job of a queue, in its worker's process
    with redis.Redis.from_url(REDIS) as connection:
        connection.publish("news", f"report {number} is ready")


async def tell(socket: WebSocket, news: str) -> None:
    try:
        async with asyncio.timeout(5):  # one that does not read
            await socket.send_text(news)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        open_sockets.discard(socket)


async def pass_on() -> None:
    while True:
        try:
            async with Redis.from_url(REDIS) as connection, connection.pubsub() as news:
                await news.subscribe("news")
                async for message in news.listen():
                    if message["type"] == "message":
                        text = message["data"].decode()
                        await asyncio.gather(*(tell(one, text) for one in open_sockets))
        except Exception:
            logging.exception("the news are followed again in a second")
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    passing_on = asyncio.create_task(pass_on())
    yield
    passing_on.cancel()
    with suppress(asyncio.CancelledError):
        await passing_on


app = FastAPI(lifespan=lifespan)


@app.websocket("/news")
async def follow_news(socket: WebSocket) -> None:
    await socket.accept()
    open_sockets.add(socket)
    try:
        await socket.send_text("connected")  # here: what a table says so far
        while True:
            await socket.receive_text()  # notices that the client has gone
    except WebSocketDisconnect:
        pass
    finally:
        open_sockets.discard(socket)
