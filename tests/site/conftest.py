"""The built site, served; and a browser."""

from collections.abc import Iterator
from fcntl import LOCK_EX, flock
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest
from playwright.sync_api import Browser, BrowserContext

from button.markup import BUILT
from tests.site.building import build, serve_static
from tests.site.built import Page, pages_of


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of the built site: built once for all processes of the tests."""
    common = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        common = common.parent
    with (common / "site.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        folder = common / "site"
        if not (folder / "sitemap.xml").exists():
            before = getrusage(RUSAGE_CHILDREN)
            build(folder)
            after = getrusage(RUSAGE_CHILDREN)
            took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            # five seconds where nothing else runs; a busy core counts more of them
            assert took < 7, "the site takes more than five seconds of a core"
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> list[Page]:
    """All its pages."""
    return pages_of(site)


@pytest.fixture(scope="session")
def site_url(site: Path) -> Iterator[str]:
    """The address of the built site."""
    with serve_static(site) as server:
        yield server.url


@pytest.fixture(scope="session")
def reader(browser: Browser, site_url: str) -> Iterator[BrowserContext]:
    """One reader for all tests, whose browser keeps what it has loaded once."""
    if not BUILT.exists():
        pytest.skip("needs the runtime of the Run button: make, with npm and PyPI")
    size = {"width": 1280, "height": 1000}
    context = browser.new_context(base_url=site_url, viewport=size)
    yield context
    context.close()
