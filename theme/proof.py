"""The `proof` fence: a statement, and folded under it the test that holds it.

The fence names a test as pytest does, and shows its docstring as the statement::

    tests/test_multiple_tasks.py::test_tasks_of_one_request_run_one_after_another

A file or a test that does not exist, or a test without a docstring, fails the build.
"""

import ast
import re
import textwrap
from html import escape
from pathlib import Path
from typing import Any

from markdown import Markdown
from pymdownx.superfences import SuperFencesException

from theme.source import definitions

ROOT = Path(__file__).parent.parent


class ProofError(SuperFencesException):  # type: ignore[misc]
    """The fence names something that is not there; superfences lets only its own kind out."""


def fence(
    source: str,
    language: str,
    css_class: str,
    options: dict[str, Any],
    md: Markdown,
    **_: Any,
) -> str:
    """Render one proof, as superfences asks a custom fence to."""
    node = source.strip()
    name, statement, code = _test(node)
    block = md.preprocessors["fenced_code_block"].highlight(
        code, "python", {"title": node}, md, classes=[], id_value="", attrs={}
    )
    return (
        f'<details class="{css_class}" id="{name}">'
        f"<summary>{_inline(statement)}</summary>{block}</details>"
    )


def _test(node: str) -> tuple[str, str, str]:
    """The name, the docstring as one line, and the source of a test."""
    path, _, name = node.partition("::")
    file = ROOT / path
    if not file.is_file():
        raise ProofError(f"proof: there is no {path}")
    text = file.read_text()
    if name not in (table := definitions(text)):
        raise ProofError(f"proof: there is no {name} in {path}")
    first, last = table[name]
    code = textwrap.dedent("\n".join(text.splitlines()[first - 1 : last]))
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    statement = ast.get_docstring(function)
    if not statement:
        raise ProofError(f"proof: {node} has no docstring to show")
    return name, " ".join(statement.split()), code


def _inline(statement: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(statement, quote=False))
