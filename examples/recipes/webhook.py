"""A webhook with a signature and an id that stays the same over all retries."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

import anyio
import httpx
import stamina
from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel, Field

URL = os.environ.get("WEBHOOK_URL", "http://127.0.0.1:9000/")
SECRET = os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_")
KEY = base64.b64decode(SECRET) or secrets.token_bytes(32)  # bytes, as base64

logger = logging.getLogger("webhook")
at_once = anyio.CapacityLimiter(10)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=5) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


class Order(BaseModel):
    item: Annotated[str, Field(min_length=1, max_length=100)]
    count: Annotated[int, Field(ge=1, le=1000)]


def sign(event_id: str, sent_at: str, body: bytes) -> str:
    signed = b".".join([event_id.encode(), sent_at.encode(), body])
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def passes_by_itself(error: Exception) -> bool:
    """Whether it may work later: no answer, too many requests, or a fault over there."""
    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        return code in (408, 425, 429) or code >= 500
    return isinstance(error, (httpx.TransportError, TimeoutError))


@stamina.retry(on=passes_by_itself, attempts=5, timeout=60, wait_initial=0.2)
async def deliver(event_id: str, body: bytes) -> None:
    sent_at = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "Webhook-Id": event_id,
        "Webhook-Timestamp": sent_at,
        "Webhook-Signature": sign(event_id, sent_at, body),
    }
    async with at_once, asyncio.timeout(15):  # httpx's own is for each read
        answer = await app.state.client.post(URL, content=body, headers=headers)
    answer.raise_for_status()


async def tell(event_id: str, event: dict[str, object]) -> None:
    try:
        await deliver(event_id, json.dumps(event).encode())
        print(f"tell: {event_id} delivered")
    except Exception:
        logger.exception("tell: %s given up: %s", event_id, event)


@app.post("/orders", status_code=201)
async def create_order(order: Order, tasks: BackgroundTasks) -> dict[str, str]:
    event_id = uuid4().hex
    tasks.add_task(tell, event_id, {"type": "order.created", **order.model_dump()})
    return {"event": event_id}
