"""Makes the `console` blocks of the pages and the README tests; lets CI skip nothing."""

import functools
import os
import ssl

import pytest
from sybil import Sybil
from xdist.scheduler import LoadScopeScheduling

from tests import sessions

# Every httpx client loads the machine's certificates, 40 ms of a processor, to talk HTTP.
ssl.create_default_context = functools.cache(ssl.create_default_context)

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
    items.sort(key=lambda item: item.path.stem not in ("test_rq", "test_arq"))


class OneByOne(LoadScopeScheduling):
    """Gives each test to whichever process is free, and what shares a session to one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if (
            file.endswith(("test_links.py", "test_published.py"))
            or "zensical" in nodeid
        ):
            return "tests that read all pages"
        if file.endswith(("many_machines.py", "many-machines.md")):
            return "tests that share a RabbitMQ"
        if "Rabbit" in nodeid:
            return "tests of other queues that share a RabbitMQ"
        return file if file.endswith((".md", "_warm.py", "test_run.py")) else nodeid


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: most tests wait for something."""
    return (os.cpu_count() or 1) + 2


def pytest_xdist_make_scheduler(config, log):
    """Replace xdist's distribution by file, which leaves one process with the longest."""
    return OneByOne(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """In CI every test runs: one that would skip fails, with what it misses."""
    report = yield
    if report.skipped and "CI" in os.environ:
        report.outcome = "failed"
    return report
