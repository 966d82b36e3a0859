"""The pages of the built site, read."""

from pathlib import Path

import pytest

from tests.site.built import Page, pages_of


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[str, Page]:
    """All its pages by name; one is parsed when it is asked."""
    return pages_of(site)
