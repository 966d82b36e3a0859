"""A reader of the site who presses Run."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(scope="package")
def reader(runtime: None, browser: Browser, site_url: str) -> Iterator[BrowserContext]:
    """One reader for all tests here, whose browser keeps what it has loaded once."""
    size = {"width": 1280, "height": 1000}
    context = browser.new_context(base_url=site_url, viewport=size)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(120_000)  # Python loads slowly where much else runs
    yield context
    context.close()
