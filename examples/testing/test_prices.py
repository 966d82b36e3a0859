"""The lifespan in a test of TestClient and of AsyncClient, and what create_task has started."""

import asyncio

import pytest
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

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


def test_without_with_request_state_is_empty_whatever_ran_before() -> None:
    with TestClient(app):
        pass
    assert TestClient(app).get("/prices").json() == {"tea": 4}  # left over
    with pytest.raises(AttributeError, match="currency"):
        TestClient(app).get("/currency")


def test_async_client_needs_the_state_that_the_lifespan_yields() -> None:
    async def read_currency() -> str:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = ASGITransport(with_state)
            async with AsyncClient(transport=transport, base_url="http://x") as client:
                currency: str = (await client.get("/currency")).json()
                return currency

    assert asyncio.run(read_currency()) == "EUR"


def test_without_with_create_task_is_cancelled() -> None:
    TestClient(app).post("/prices")
    assert ended == ["cancelled"]


def test_with_it_the_lifespan_may_wait() -> None:
    with TestClient(app) as client:
        client.post("/prices")
    assert ended == ["done"]
