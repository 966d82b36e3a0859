"""Real servers and a real browser that the tests start themselves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from runner import Server, serve
from runner.services import Service
from tests.services import new_database, postgresql_url, running, settings_of
from tests.site.building import CHROMIUM, open_browser


@pytest.fixture
def postgresql() -> str:
    """SQLAlchemy's URL of an empty database of a real PostgreSQL, from its wheel."""
    return postgresql_url(new_database()).replace(":", "+psycopg:", 1)


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """What the module's `APP`, and what runs beside it, finds in its environment."""
    return settings_of(request.module.APP, tmp_path)


@pytest.fixture
def app(request: pytest.FixtureRequest, settings: dict[str, str]) -> Iterator[Server]:
    """The module's `APP`, running."""
    with serve(request.module.APP, env=settings) as server:
        yield server


@pytest.fixture
def redis() -> Service:
    """A real Redis. A test may kill it: the next one finds it running."""
    return running("redis")


@pytest.fixture
def rabbitmq() -> Service:
    """A real RabbitMQ. A test may kill it: the next one finds it running."""
    return running("rabbitmq")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome (Debian: apt install chromium)")
    with open_browser() as browser:
        yield browser
