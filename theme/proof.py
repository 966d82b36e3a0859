"""The `proof` fence: a statement, and folded under it the test that holds it.

The fence names a test as pytest does, and shows its docstring as the statement::

    tests/test_multiple_tasks.py::test_tasks_of_one_request_run_one_after_another

A file or a test that does not exist, or a test without a docstring, fails the build. So
does a docstring with Markdown in it: only `code` is shown as such.
"""

import ast
import re
import textwrap
from functools import cache
from html import escape
from pathlib import Path

from markdown import Markdown

from theme.fences import Missing, fence, nearest
from theme.source import definitions, highlighted

ROOT = Path(__file__).parent.parent


@fence
def proof(node: str, md: Markdown) -> str:
    """A statement that unfolds into the test that holds it."""
    name, statement, code = find(node)
    block = highlighted(code, "python", node)
    return (
        f'<details class="proof" id="{name}"><summary>{_inline(statement)}</summary>'
        f"<div data-search-exclude>{block}</div></details>"
    )


@cache  # a build asks for each claim three times
def find(node: str) -> tuple[str, str, str]:
    """The name, the docstring as one line, and the source of a test.

    Raises `Missing` if there is none of that name, or it has no docstring, or one with
    other marks than backticks.
    """
    path, _, name = node.partition("::")
    file = ROOT / path
    if not file.is_file():
        files = (f.relative_to(ROOT).as_posix() for f in (ROOT / "tests").rglob("*.py"))
        raise Missing(f"there is no {path}", nearest(path, files) or "see tests/")
    text = file.read_text()
    if name not in (table := definitions(text)):
        tests = [one for one in table if one.startswith("test_")]
        remedy = nearest(name, tests) or f"write it, or name one of its {len(tests)}"
        raise Missing(f"there is no {name or 'test'} in {path}", remedy)
    first, last = table[name]
    code = textwrap.dedent("\n".join(text.splitlines()[first - 1 : last]))
    statement = _statement_of(code)
    if not statement:
        raise Missing(
            f"{name} has no docstring", "say there what it proves, in a sentence"
        )
    if marked := re.search(r"\*\w[^*]*\*|\]\(", re.sub("`[^`]+`", "", statement)):
        raise Missing(
            f"{name} has {marked[0]} in its docstring",
            "write what a program says in backticks, and links in the page",
        )
    return name, statement, code


def _statement_of(code: str) -> str:
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    return " ".join((ast.get_docstring(function) or "").split())


def _inline(statement: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(statement, quote=False))
