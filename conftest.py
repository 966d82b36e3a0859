"""Makes the `console` blocks of the pages and the README tests; spreads and counts tests."""

import gc
import os
from collections import Counter
from zlib import crc32

import pytest
from sybil import Sybil

from runner import nursery
from tests import sessions
from tests.spreading import ByFolder, scope_of

# `make` tells the one that it starts that it is not the first, and that one says so in
# every folder: what a test starts is to print what it prints when a reader types it.
for told in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(told, None)

pytest_plugins = ["tests.one_page", "tests.last_run"]

gc.disable()  # until all tests are collected: a third of the time that this takes

pytest_collect_file = Sybil(
    [sessions.parse],
    patterns=["*.md"],
    setup=sessions.open_session,
    teardown=sessions.close_session,
).pytest()


def pytest_collection_modifyitems(config, items):
    """Slow is a session, typed in a terminal program by program, and what needs the built site.

    What waits for a minute starts first, or all others wait for it at the end. After it
    come tests that compute and tests that wait, mixed, or the processor would be too
    little for some and idle for others: in an order that looks like none and is always
    the same. Of one page's checks those come in the middle that wait for the built site:
    one group has it built meanwhile, and the others are not waited for at the end.
    """
    for item in items:
        if item.path.suffix == ".md" or "site" in item.fixturenames:
            item.add_marker(pytest.mark.slow)

    one_page = config.getoption("--page")

    def place(item):
        scope = scope_of(item.nodeid)
        builds = one_page and scope.endswith("/site")
        waits = one_page and "site" in item.fixturenames
        first = builds or item.get_closest_marker("long")
        return not first, 2**31 if waits else crc32(scope.encode())

    if hasattr(config, "workerinput"):  # and not where a test of a worker starts pytest
        items.sort(key=place)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """What is there by now stays: nobody need look through it for garbage again."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Six more than there are cores: most tests wait for something. Of one page there are few."""
    return (os.cpu_count() or 1) + (3 if config.getoption("--page") else 6)


def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """What most examples import is imported once, for all processes."""
    shared = nursery.Shared()
    config.add_cleanup(shared.end)
    nursery.shared_at = shared.address


def pytest_configure_node(node) -> None:
    node.workerinput["nursery"] = nursery.shared_at


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        nursery.shared_at = config.workerinput["nursery"]


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
