"""All that concerns one page, a line each: ``make page PAGE=temporary-files``."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from runner import process
from runner.process import ROOT
from runner.scenes import SCENES
from tests import sessions
from theme.fences import nearest
from workshop.pages import (
    DOCS,
    EXAMPLES,
    PAGES,
    address_of,
    claims_of,
    page_of,
    page_of_file,
)

_KINDS = {
    "test_code": "format, types, imports",
    "test_pages": "what reading finds",
    "test_copies": "copies",
    "test_examples": "examples",
    "test_hints": "hints at mistakes",
    "test_recordings": "recordings",
    "test_published": "published",
    "test_links": "links",
    "test_markdown": "as Markdown",
    "test_browser": "in the browser",
    "test_button": "Run",
}
"""What a page is told of a module's tests; its own are its session and its claims."""

_NAMED = {"page", "path", "name", "file"}
"""The parameters of a test that say which page it concerns."""

_NOT_BUILT = "the site cannot be built"
_MOST = 14
"""Lines that are shown of a message: its beginning and its end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", help="only what concerns this page")


def pytest_configure(config: pytest.Config) -> None:
    if not (page := config.getoption("--page")):
        return
    if page not in PAGES:
        raise pytest.UsageError(
            f"no page {page}: {nearest(page, PAGES) or 'see docs/'}"
        )
    sessions.PATIENCE = process.PATIENCE = 10


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that are not asked anyway: to read them takes long."""
    if not (page := config.getoption("--page")) or collection_path.is_dir():
        return None
    asked = collection_path in (DOCS / f"{page}.md", claims_of(page))
    return None if asked or collection_path.stem in _KINDS else True


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not (page := config.getoption("--page")):
        return
    chosen = [item for item in items if _concerns(item, page)]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


def _concerns(item: pytest.Item, page: str) -> bool:
    if item.path in (DOCS / f"{page}.md", claims_of(page)):
        return True
    parameters: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return bool(item.get_closest_marker("every_page")) or any(
        _is_of(parameters[name], page) for name in _NAMED & parameters.keys()
    )


def _is_of(value: object, page: str) -> bool:
    """Whether a test's parameter is the page, its address, or one of its files or scenes."""
    if isinstance(value, Path):
        return value.is_relative_to(EXAMPLES) and page_of_file(value) == page
    if isinstance(value, str) and value in SCENES:
        return page_of(SCENES[value].example) == page
    return value in (page, address_of(page))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Each kind of check in a line; what is wrong under it."""
    if not (page := config.getoption("--page")):
        return
    seen = set[str]()
    kinds: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            if hasattr(report, "nodeid"):
                kinds[_kind(report.nodeid, page)][outcome].append(report)
    for kind in sorted(kinds, key=lambda kind: (kind != _KINDS["test_pages"], kind)):
        reports = kinds[kind]
        wrong = [*reports["failed"], *reports["error"]]
        skipped = f", {len(reports['skipped'])} skipped" if reports["skipped"] else ""
        state = (
            f"{len(wrong)} WRONG" if wrong else f"ok, {len(reports['passed'])} passed"
        )
        terminalreporter.write_line(f"{kind:24}{state}{skipped}")
        told = {
            words: where for where, words in reversed([_told(one) for one in wrong])
        }
        for words, where in reversed(told.items()):
            lines = f"{where}{words}".splitlines()
            if words.startswith(_NOT_BUILT):
                lines = [line for line in lines if line not in seen]
            seen.update(map(str.strip, lines))
            if len(lines) > _MOST:
                lines[2 : 3 - _MOST] = ["…"]
            for line in lines or ["as above"]:
                terminalreporter.write_line(f"    {line}")
    claims = claims_of(page)
    if claims and "pytest.mark.queues" in claims.read_text():
        rest = f"left out: .venv/bin/pytest -m queues --page {page}"
        terminalreporter.write_line(f"{'kills of queues':24}{rest}")


def _kind(nodeid: str, page: str) -> str:
    file = ROOT / nodeid.partition("::")[0]
    if file.suffix == ".md":
        return "session"
    if file == claims_of(page):
        return "claims"
    return "searches" if "a_search" in nodeid else _KINDS.get(file.stem, file.stem)


def _told(report: Any) -> tuple[str, str]:
    """Where a failed test stands, if it does not say that itself, and what it says."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if not crash:
        return "", str(report.longrepr)
    words = crash.message.partition("\nassert ")[0].replace("\n  ", "\n")  # pytest's
    words = re.sub(r"^(AssertionError|[\w.]*\.ServerError): ", "", words)
    if words.startswith(("docs/", "examples/", "tests/", "mkdocs.yml")):
        return "", words
    if "to mend, see above" in words:
        lines = re.findall(r"ERROR +-  (.*: .*)", words)
        return "", "\n".join([_NOT_BUILT, *lines])
    test, line, name = report.location
    return f"{test}:{line + 1}: {name}: ", words
