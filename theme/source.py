"""Code on a page: where its names are defined, and how it is coloured."""

import ast
import re
from functools import lru_cache
from pathlib import PurePosixPath

from markdown import Markdown

_COLOURLESS = re.compile(r'<span class="(?:kc|n|o|ow|p|sa|vm|w)">([^<]*)</span>')
"""A name, a space, a bracket or an operator: what has the colour of the text."""

_SAME_COLOUR = {
    **dict.fromkeys(["kn", "nd"], "k"),
    **dict.fromkeys(["ne", "nn"], "nf"),
    **dict.fromkeys(["s1", "si"], "s2"),
    **dict.fromkeys(["m", "mf"], "mi"),
    "sd": "c1",
}
"""What Material gives the colour of another kind of token."""

_TOKEN = re.compile(r'(?<=<span class=")\w+(?=">)')
_RUN = re.compile(r'(<span class="\w+">)[^<\n]*(?:</span>\1[^<\n]*)+')
"""Tokens of a colour beside each other."""

LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}
"""What a page shows of ``examples/``, by the ending of a file."""


def language_of(path: str) -> str:
    """The language of a file below ``examples/``."""
    return LANGUAGES[PurePosixPath(path).suffix]


def highlighted(code: str, language: str, title: str, md: Markdown) -> str:
    """A block of code as superfences makes it, with an element for what has a colour, and no other."""
    block: str = md.preprocessors["fenced_code_block"].highlight(
        code, language, {"title": title}, md, classes=[], id_value="", attrs={}
    )
    block = _COLOURLESS.sub(r"\1", block.replace("<pre><span></span>", "<pre>"))
    block = _TOKEN.sub(lambda kind: _SAME_COLOUR.get(kind[0], kind[0]), block)
    return _RUN.sub(lambda run: run[0].replace(f"</span>{run[1]}", ""), block)


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
