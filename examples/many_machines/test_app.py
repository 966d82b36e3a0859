"""Without RabbitMQ: an `InMemoryBroker` runs the jobs in the process of the tests."""

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import taskiq_fastapi
from taskiq import InMemoryBroker

os.environ["ENVIRONMENT"] = "test"

from . import app as shop
from .app import app
from .tasks import broker

jobs = cast(InMemoryBroker, broker)
taskiq_fastapi.populate_dependency_context(jobs, app)


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "DATABASE", f"sqlite+aiosqlite:///{tmp_path}/test.db")


async def place_and_wait(item: str) -> Any:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        placed = await client.put("/orders/7", json={"item": item})
        assert placed.status_code == 202
        for _ in range(3):  # attempts
            await jobs.wait_all()
        return (await client.get("/orders/7")).json()


def test_the_receipt_is_sent() -> None:
    order = asyncio.run(place_and_wait("tea"))
    assert order["receipt"] == "sent"


def test_a_refused_receipt_keeps_its_error() -> None:
    order = asyncio.run(place_and_wait("refused"))
    assert order["receipt"] == "failed"
    assert "refused the connection" in order["error"]
