"""The one name: which page, which examples and which tests belong together.

An example is named as its file below ``examples/``, a page as its file below ``docs/``, both
without the ending. The page of an example is named as the example, or else as its folder;
the claims of a page are in the module that is named as the page, in whichever folder.
"""

from functools import cache
from pathlib import Path

from runner.process import ROOT

DOCS, EXAMPLES, TESTS = ROOT / "docs", ROOT / "examples", ROOT / "tests"

PAGES = sorted(
    file.relative_to(DOCS).with_suffix("").as_posix() for file in DOCS.rglob("*.md")
)
"""The names of all pages."""


def page_of(example: str) -> str:
    """The page of an example such as ``multiple_tasks/in_order`` or ``recipes/webhook``."""
    name = example.replace("_", "-")
    return name if name in PAGES else name.partition("/")[0]


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
