"""While the event loop is blocked, no ping is answered, and the client gives the connection up."""

import asyncio
import time

from fastapi import FastAPI, WebSocket

app = FastAPI()


def predict(text: str) -> str:
    print(f"predict: {text} started")
    time.sleep(3)  # stands in for a model
    return f"{text} at four"


async def answer(socket: WebSocket, text: str) -> None:
    await socket.send_text(text)
    print(f"answer: {text} sent")


@app.websocket("/blocking")
async def answer_blocking(socket: WebSocket) -> None:
    await socket.accept()
    await answer(socket, predict(await socket.receive_text()))


@app.websocket("/in-a-thread")
async def answer_from_a_thread(socket: WebSocket) -> None:
    await socket.accept()
    text = await socket.receive_text()
    await answer(socket, await asyncio.to_thread(predict, text))
