"""Stop the server while WebSockets are open: one endpoint is told, and the other never asks."""

import asyncio

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
readers: set[asyncio.Queue[str]] = set()
running: set[asyncio.Task[None]] = set()


async def archive_chat(how: str) -> None:
    await asyncio.sleep(1)  # stands in for a slow database
    print(f"archive_chat: {how}")


@app.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(f"hello {await socket.receive_text()}")
    except WebSocketDisconnect as gone:
        print(f"chat: closed with {gone.code}")
    task = asyncio.create_task(archive_chat("in a task"))
    running.add(task)
    task.add_done_callback(running.discard)
    await archive_chat("awaited")


@app.websocket("/news")
async def follow_news(socket: WebSocket) -> None:
    await socket.accept()
    news: asyncio.Queue[str] = asyncio.Queue()
    readers.add(news)
    try:
        while True:
            await socket.send_text(await news.get())
    finally:
        readers.discard(news)
        print("follow_news: ended")


@app.post("/news/{text}", status_code=202)
async def publish(text: str) -> int:
    for news in readers:
        news.put_nowait(text)
    return len(readers)
