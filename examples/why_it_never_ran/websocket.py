"""A WebSocket endpoint gets BackgroundTasks and nobody ever runs them."""

import asyncio

from fastapi import BackgroundTasks, FastAPI, WebSocket

app = FastAPI()


async def archive_chat(text: str) -> None:
    await asyncio.sleep(0.1)  # stands in for a slow database
    print(f"archive_chat: {text}")


@app.websocket("/chat")
async def chat(websocket: WebSocket, background_tasks: BackgroundTasks) -> None:
    await websocket.accept()
    background_tasks.add_task(archive_chat, "added in a websocket")  # never runs
    await websocket.send_text("hello")
    await websocket.close()
    print("chat: closed")


@app.websocket("/archived-chat")
async def archived_chat(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        async for text in websocket.iter_text():
            await websocket.send_text(f"hello {text}")
    finally:  # whoever has closed it
        await archive_chat("called when it was closed")
