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
from typing import Any

from markdown import Markdown
from pymdownx.snippets import (
    SnippetExtension,
    SnippetMissingError,
    SnippetPreprocessor,
)

from theme.source import definitions

_NAMED = re.compile(r"(?P<path>[^:]+\.py):(?P<names>[A-Za-z_][\w., ]*)")


class NamedSnippets(SnippetPreprocessor):  # type: ignore[misc]
    """The snippets preprocessor, with Python names in place of markers."""

    def parse_snippet_target(self, path: str) -> dict[str, Any] | None:
        if named := _NAMED.fullmatch(path):
            return {
                "path": named["path"],
                "start": [],
                "end": [],
                "section": named["names"],
            }
        target: dict[str, Any] | None = super().parse_snippet_target(path)
        if target and (target["start"] or target["end"]):
            raise SnippetMissingError(f"name a function in place of lines: {path}")
        return target

    def extract_section(self, section: str, lines: list[str]) -> list[str]:
        table = definitions("\n".join(lines))
        names = [name.strip() for name in section.split(",")]
        if missing := [name for name in names if name not in table]:
            raise SnippetMissingError(
                f"no {', '.join(missing)} here, only {', '.join(table)}"
            )
        shown: list[str] = []
        for first, last in sorted(table[name] for name in names):
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
