"""Code on a page: where its names are defined, and how it is coloured."""

import ast
import builtins
import keyword
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from html import escape
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pygments import highlight
from pygments.filter import Filter
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer, inherit
from pygments.lexers import PythonLexer, find_lexer_class_by_name
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
)

_LOOKS_LIKE = {
    **dict.fromkeys(
        [
            Keyword.Constant,
            Name,
            Name.Function.Magic,
            Name.Variable.Magic,
            Operator,
            Operator.Word,
            Punctuation,
            String.Affix,
            Text.Whitespace,
        ],
        Text,
    ),
    **dict.fromkeys([Keyword.Namespace, Name.Decorator], Keyword),
    **dict.fromkeys([Name.Class, Name.Exception, Name.Namespace], Name.Function),
    **dict.fromkeys([String.Interpol, String.Single], String.Double),
    **dict.fromkeys([Number, Number.Float], Number.Integer),
    String.Doc: Comment.Single,
}
"""What Material gives the colour of the text, or of another kind of token."""

LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}
"""What a page shows of ``examples/``, by the ending of a file."""


def language_of(path: str) -> str:
    """The language of a file below ``examples/``."""
    return LANGUAGES[PurePosixPath(path).suffix]


class ByColour(Filter):
    """Makes tokens that look the same tokens of one kind: one element where they meet."""

    def filter(
        self, lexer: Lexer | None, stream: Iterable[tuple[Any, str]]
    ) -> Iterator[tuple[Any, str]]:
        for kind, text in stream:
            yield _LOOKS_LIKE.get(kind, kind), text


_COLOURED = "|".join(
    [*keyword.kwlist, *keyword.softkwlist, *dir(builtins), "cls", "lazy", "self"]
)
_PLAIN_NAME = rf"(?!(?:{_COLOURED}|__\w*)\b)[A-Za-z_]\w*+(?![\"'])"
_PLAIN_SPACE = r"(?<=\S)[ \t]+"


class _QuickPython(PythonLexer):  # type: ignore[misc]  # has no types
    """Pygments' own, which tries dozens of rules before it knows a name, a space or a bracket.

    These have no colour, and are found first: half of the time.
    """

    tokens: ClassVar[Any] = {
        "root": [
            (rf"(?:{_PLAIN_NAME}|{_PLAIN_SPACE}|[]{{}}(),;.:=|*+-](?!\d))+", Text),
            inherit,
        ],
        "expr": [(rf"{_PLAIN_NAME}|{_PLAIN_SPACE}", Text), inherit],
    }


@cache
def _lexer(language: str) -> Lexer:
    python = language == "python"
    kind = _QuickPython if python else find_lexer_class_by_name(language)
    lexer: Lexer = kind(stripnl=False)
    lexer.add_filter(ByColour())
    return lexer


_FORMATTER = HtmlFormatter(nowrap=True)


@lru_cache(256)  # a page shows a file once for each question
def coloured(code: str, language: str) -> str:
    """The code as HTML, a `span` for what has a colour."""
    return highlight(code, _lexer(language), _FORMATTER)


def highlighted(code: str, language: str, title: str) -> str:
    """A block of code with its title, as superfences makes it, with fewer elements."""
    return (
        f'<div class="language-{language} highlight">'
        f'<span class="filename">{escape(title)}</span>'
        f"<pre><code>{coloured(code, language)}</code></pre></div>"
    )


@lru_cache(1024)  # all examples and tests: a build asks for each several times
def definitions(source: str) -> dict[str, tuple[int, int]]:
    """Map each name to its first and last line, counted from 1.

    Functions, classes and methods (``Class.method``) start at their decorators;
    assignments count at module and class level; ``imports`` is the block of imports.
    """
    tree = ast.parse(source)
    found: dict[str, tuple[int, int]] = {}
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    if imports:
        found["imports"] = imports[0].lineno, _end(imports[-1])
    _collect(tree.body, "", found)
    return found


def _collect(
    body: list[ast.stmt], prefix: str, found: dict[str, tuple[int, int]]
) -> None:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found[prefix + node.name] = first, _end(node)
                if isinstance(node, ast.ClassDef):
                    _collect(node.body, f"{prefix}{node.name}.", found)
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Name):
                        found[prefix + target.id] = node.lineno, _end(node)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[prefix + name] = node.lineno, _end(node)


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
