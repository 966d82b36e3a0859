"""The pages of the built site, read."""

from pathlib import Path

import pytest

from tests.site.built import Page, pages_of


@pytest.fixture(scope="session")
def pages(site: Path) -> list[Page]:
    """All its pages."""
    return pages_of(site)
