"""`pymdownx.snippets` whose sections are Python names, so that files need no markers.

```
--8<-- "multiple_tasks/in_order.py"                      the whole file
--8<-- "multiple_tasks/in_order.py:send_welcome_email"   a function, class or assignment
--8<-- "page/example.py:Mailer.send"                     a method, dedented
--8<-- "page/example.py:imports"                         the block of imports
--8<-- "page/example.py:app,send"                        several, in the order of the file
```

A name that is not there fails the build, and so does a range of line numbers:
it would show other lines after the next edit, and say nothing.
"""

import re
from pathlib import Path
from typing import Any

from markdown import Markdown
from pymdownx.snippets import SnippetExtension, SnippetPreprocessor

from theme.fences import Missing, nearest
from theme.source import definitions

_NAMED = re.compile(r"(?P<path>[^:]+\.py):(?P<names>[A-Za-z_][\w., ]*)")


def find(target: str, folder: Path) -> None:
    """Look for what is between the quotes of a snippet, in the folder of all examples.

    Raises `Missing` if there is no such file, or no such part of it.
    """
    path, _, names = target.partition(":")
    if not (folder / path).is_file():
        files = (f.relative_to(folder).as_posix() for f in folder.rglob("*.py"))
        raise Missing(
            f"there is no examples/{path}", nearest(path, files) or "write it"
        )
    if names:
        _check(target)
        _places(names, (folder / path).read_text())


def _check(target: str) -> re.Match[str]:
    """The path and names of a part. Raises `Missing` for lines by their numbers."""
    if named := _NAMED.fullmatch(target):
        return named
    raise Missing(f"lines by number: {target}", "name a function in place of them")


def _places(names: str, source: str) -> list[tuple[int, int]]:
    """The first and last lines of these parts, in their order there."""
    table = definitions(source)
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if name not in table:
            remedy = nearest(name, table) or f"it has {', '.join(table)}"
            raise Missing(f"there is no {name} in this file", remedy)
    return sorted(table[name] for name in wanted)


class NamedSnippets(SnippetPreprocessor):  # type: ignore[misc]
    """The snippets preprocessor, with Python names in place of markers."""

    def parse_snippet_target(self, path: str) -> dict[str, Any] | None:
        if ".py:" not in path:
            whole: dict[str, Any] | None = super().parse_snippet_target(path)
            return whole
        named = _check(path)
        part = {"path": named["path"], "section": named["names"]}
        return {**part, "start": [], "end": []}

    def extract_section(self, section: str, lines: list[str]) -> list[str]:
        shown: list[str] = []
        for first, last in _places(section, "\n".join(lines)):
            if shown:
                shown += ["", ""]
            shown += self.dedent(lines[first - 1 : last])
        return shown


class NamedSnippetExtension(SnippetExtension):  # type: ignore[misc]
    """Registers `NamedSnippets` where `pymdownx.snippets` registers its own."""

    def extendMarkdown(self, md: Markdown) -> None:
        self.md = md
        md.registerExtension(self)
        md.preprocessors.register(NamedSnippets(self.getConfigs(), md), "snippet", 32)


def makeExtension(**options: Any) -> NamedSnippetExtension:
    """Python-Markdown's entry point."""
    return NamedSnippetExtension(**options)
