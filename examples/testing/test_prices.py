"""The lifespan in a test of TestClient and of AsyncClient, and what create_task has started."""

import asyncio

import pytest
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient

from prices import app, ended


@pytest.fixture(autouse=True)
def forget() -> None:
    app.state._state.clear()
    ended.clear()


def test_without_with_there_is_no_lifespan() -> None:
    with pytest.raises(AttributeError, match="prices"):
        TestClient(app).get("/prices")


def test_with_it_there_is_one() -> None:
    with TestClient(app) as client:
        assert client.get("/prices").json() == {"tea": 4}


def test_async_client_needs_the_lifespan_around_it() -> None:
    async def read_prices() -> dict[str, int]:
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
        ):
            prices: dict[str, int] = (await client.get("/prices")).json()
            return prices

    assert asyncio.run(read_prices()) == {"tea": 4}


def test_without_with_create_task_is_cancelled() -> None:
    TestClient(app).post("/prices")
    assert ended == ["cancelled"]


def test_with_it_the_lifespan_may_wait() -> None:
    with TestClient(app) as client:
        client.post("/prices")
    assert ended == ["done"]
