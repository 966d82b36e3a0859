"""The one name: which page, which examples and which tests belong together.

An example is named as its file below ``examples/``, a page as its file below ``docs/``, both
without the ending. The page of an example is named as the example, or else as its folder;
the claims of a page are in the module that is named as the page, in whichever folder.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.utils import meta

from runner.process import ROOT

DOCS, EXAMPLES, TESTS = ROOT / "docs", ROOT / "examples", ROOT / "tests"
CONFIG = ROOT / "mkdocs.yml"

PAGES = sorted(
    file.relative_to(DOCS).with_suffix("").as_posix() for file in DOCS.rglob("*.md")
)
"""The names of all pages."""


def page_of(example: str) -> str:
    """The page of an example such as ``multiple_tasks/in_order`` or ``recipes/webhook``."""
    name = example.replace("_", "-")
    return name if name in PAGES else name.partition("/")[0]


def page_of_file(file: Path) -> str:
    """The page of a file below ``examples/``."""
    return page_of(file.relative_to(EXAMPLES).with_suffix("").as_posix())


def page_of_scene(name: str, example: str) -> str:
    """The page that shows a scene: that of its name, or else that of its example."""
    page = page_of(name)
    return page if page in PAGES else page_of(example)


def address_of(page: str) -> str:
    """The path of a page on the site, such as ``/multiple-tasks/``."""
    return "/" + f"{page}/".removesuffix("index/")


@cache  # asked for each block of each page
def claims_of(page: str) -> Path | None:
    """The module that holds the claims of a page; None for a page without claims."""
    name = f"test_{page.rpartition('/')[2].replace('-', '_')}.py"
    found = list(TESTS.rglob(name))
    assert len(found) < 2, f"which of these holds the claims of {page}: {found}?"
    return found[0] if found else None


def target_of(file: Path) -> str:
    """What uvicorn takes for a file below ``examples/``."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return f"{module}:app"


def examples_of(page: str) -> list[Path]:
    """The Python files that a reader of the page copies."""
    return list(_examples().get(page, []))


@cache  # asked several times for each page of a build
def _examples() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in sorted(EXAMPLES.rglob("*.py")):
        if file.name != "__init__.py":
            found.setdefault(page_of_file(file), []).append(file)
    return found


def front_matter(page: str) -> dict[str, Any]:
    """What a page says of itself: its description, what a reader types to find it."""
    data: dict[str, Any] = meta.get_data((DOCS / f"{page}.md").read_text())[1]
    return data


@cache
def nav() -> dict[str, int]:
    """The pages in the nav, in its order, each with its line in ``mkdocs.yml``."""
    lines = enumerate(CONFIG.read_text().splitlines(), 1)
    entries = (
        (re.fullmatch(r" +- .*?([\w/-]+)\.md *(#.*)?", text), n) for n, text in lines
    )
    return {entry[1]: number for entry, number in entries if entry}
