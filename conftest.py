"""Makes the `console` blocks of the pages and the README tests; spreads and counts tests."""

import os
from collections import Counter
from pathlib import Path

import pytest
from sybil import Sybil
from xdist.scheduler import LoadScopeScheduling

from tests import sessions
from tests.pages import DOCS, TESTS, claims_of

pytest_collect_file = Sybil(
    [sessions.parse],
    patterns=["*.md"],
    setup=sessions.open_session,
    teardown=sessions.close_session,
).pytest()


def pytest_collection_modifyitems(items):
    """A session is typed in a terminal, program by program: that is slow.

    What waits for a minute starts first, or all others wait for it at the end.
    """
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not item.get_closest_marker("long"))


class ByFolder(LoadScopeScheduling):
    """Gives each test to whichever process is free, but those of a folder to one.

    What is in a folder below ``tests/`` shares a server or a browser; the session of a page
    goes with the page's claims.
    """

    def _split_scope(self, nodeid: str) -> str:
        name, _, _ = nodeid.partition("::")
        file = Path(self.config.rootpath, name)
        if file.suffix == ".md" and file.is_relative_to(DOCS):
            page = file.relative_to(DOCS).with_suffix("").as_posix()
            claims = claims_of(page)
            together = claims is not None and claims.parent != TESTS
            return str(claims.parent) if together else name
        if file.suffix == ".md":
            return name
        return nodeid if file.parent == TESTS else str(file.parent)


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: most tests wait for something."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config, log):
    """Replace xdist's distribution by file, which leaves one process with the longest."""
    return ByFolder(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """In CI every test runs: one that would skip fails, with what it misses."""
    report = yield
    if report.skipped and "CI" in os.environ:
        report.outcome = "failed"
    return report


def pytest_terminal_summary(terminalreporter):
    """Why tests were skipped, how many each, and so what to install."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in skipped
    )
    for reason, times in reasons.most_common():
        terminalreporter.write_line(f"skipped {times}: {reason}")
