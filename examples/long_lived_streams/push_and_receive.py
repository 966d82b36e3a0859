"""A WebSocket pushes while it receives; when one side ends, both do."""

import asyncio

from anyio import create_task_group
from fastapi import FastAPI, WebSocket

app = FastAPI()


async def push_prices(socket: WebSocket, shares: set[str]) -> None:
    try:
        for price in range(100):
            for share in sorted(shares):
                await socket.send_json({"share": share, "price": price})
            await asyncio.sleep(0.1)  # stands in for a stock exchange
        await socket.close()
    finally:
        print("push_prices: ended")


@app.websocket("/prices")
async def follow_prices(socket: WebSocket) -> None:
    await socket.accept()
    shares: set[str] = set()
    async with create_task_group() as group:
        group.start_soon(push_prices, socket, shares)
        async for share in socket.iter_text():
            shares.add(share)
        group.cancel_scope.cancel()
    print("follow_prices: ended")
