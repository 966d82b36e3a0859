"""Real servers and a real browser that the tests start themselves."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from runner import Server, serve
from runner.services import Service
from tests.services import (
    empty_redis,
    example_of,
    new_database,
    running,
    settings_of,
)
from tests.site.building import CHROMIUM, open_browser


@pytest.fixture
def postgresql() -> str:
    """SQLAlchemy's URL of an empty database of a real PostgreSQL, from its wheel."""
    return new_database().replace(":", "+psycopg:", 1)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the module's `APP` finds in its environment."""
    return settings_of(example_of(request.module.APP))


@pytest.fixture
def app(request: pytest.FixtureRequest, settings: dict[str, str]) -> Iterator[Server]:
    """The module's `APP`, running."""
    with serve(request.module.APP, env=settings) as server:
        yield server


@pytest.fixture
def redis() -> Iterator[Service]:
    """A real Redis that is empty; if the test kills it, it is started again."""
    service = empty_redis()
    yield service
    service.kill()
    service.start()


@pytest.fixture
def rabbitmq() -> Service:
    """A real RabbitMQ."""
    return running("rabbitmq")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome (Debian: apt install chromium)")
    with open_browser() as browser:
        yield browser
