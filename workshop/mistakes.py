"""Finds what is wrong in a page before it is built: a line each, and what to do about it.

``docs/page.md:42: what is wrong: what to do``
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import PurePosixPath
from typing import Any

from markdown.extensions.toc import slugify

from recording.model import Bench, Latencies, Recording
from runner.process import ROOT
from runner.scenes import SCENES
from theme import example, proof, versions
from theme.fences import Missing, nearest, recorded
from workshop.pages import (
    CONFIG,
    DOCS,
    PAGES,
    claims_of,
    examples_of,
    front_matter,
    nav,
)

TO_DO = "FILL" + " IN: "
"""What `make new` writes before each thing that is to be written."""

_FENCE = re.compile(r"```(\w*).*")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"#{1,6} (.+?)\s*(?:\{#([\w-]+)\})?")


@dataclass(frozen=True, order=True)
class Mistake:
    """Something that is wrong in a file of the project."""

    file: str
    """Below the project's folder."""
    line: int
    what: str
    remedy: str
    """What to do about it."""
    block: tuple[int, int] = (0, 0)
    """The first and last line of the block that cannot be shown; zeros: all can."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.remedy}"


@dataclass(frozen=True)
class _Block:
    """A fenced block: its first and last line in the page, counted from 1."""

    name: str
    text: str
    first: int
    last: int


def _timeline(name: str) -> None:
    if name not in SCENES:
        add = f"add it to runner/scenes.py, then make record SCENE={name}"
        raise Missing(f"there is no scene {name}", nearest(name, SCENES) or add)
    recorded(Recording, name)


def _console(_: str) -> None:
    """Is checked by typing it."""


def _python(_: str) -> None:
    raise Missing("code that no test runs", "show a file: ```example")


_CHECKS: dict[str, Callable[[str], Any]] = {
    "example": example.parts,
    "change": example.pair,
    "proof": proof.find,
    "timeline": _timeline,
    "glance": _timeline,
    "playground": _timeline,
    "chart": partial(recorded, Latencies),
    "losses": partial(recorded, Bench),
    "comparison": partial(recorded, Bench),
    "console": _console,
    "versions": versions.checked,
    "python": _python,
}
"""What a page may hold, by the name of the fence; each raises `Missing`."""


def mistakes_of(page: str) -> list[Mistake]:
    """All that is wrong in a page, and in its examples and claims, as far as reading tells."""
    file = DOCS / f"{page}.md"
    name = file.relative_to(ROOT).as_posix()
    prose, blocks = _parts(file.read_text())
    found = [Mistake(name, 1, *words) for words in _missing_of(page)]
    for block in blocks:
        for line, error in _wrong_in(block):
            found.append(
                Mistake(name, line, error.what, error.remedy, (block.first, block.last))
            )
    for line, written in prose:
        for link in _LINK.findall(written):
            if dead := _dead(page, link):
                found.append(Mistake(name, line, dead.what, dead.remedy))
    return sorted([*found, *_unwritten(page), *_unshown(page)])


def mistakes_of_nav() -> list[Mistake]:
    """Its entries that lead nowhere."""
    return [
        Mistake(
            CONFIG.name,
            line,
            f"there is no docs/{page}.md",
            nearest(f"{page}.md", [f"{p}.md" for p in PAGES])
            or f"make new PAGE={page}",
        )
        for page, line in nav().items()
        if page not in PAGES
    ]


def anchors(text: str) -> set[str]:
    """The ids that links can lead to in a page of that source: headings and proofs."""
    prose, blocks = _parts(text)
    found = {
        block.text.strip().partition("::")[2]
        for block in blocks
        if block.name == "proof"
    }
    for _, line in prose:
        if heading := _HEADING.fullmatch(line):
            found.add(heading[2] or slugify(re.sub(r"[`*]", "", heading[1]), "-"))
    return found


def _parts(text: str) -> tuple[list[tuple[int, str]], list[_Block]]:
    """The lines of prose with their numbers, and the blocks; a last one may be open."""
    prose: list[tuple[int, str]] = []
    blocks: list[_Block] = []
    opened: tuple[int, str] | None = None
    inside: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        start = _FENCE.fullmatch(line)
        if opened and line.rstrip() == "```":
            first, name = opened
            blocks.append(_Block(name, "\n".join(inside), first, number))
            opened, inside = None, []
        elif opened:
            inside.append(line)
        elif start:
            opened = number, start[1]
        else:
            prose.append((number, line))
    if opened:
        blocks.append(_Block("", "", opened[0], len(lines)))
    return prose, blocks


def _wrong_in(block: _Block) -> Iterator[tuple[int, Missing]]:
    """What is wrong in a block, with its line in the page."""
    try:
        if not block.name:
            raise Missing(
                "a block without a name, or without an end", "end it with ```"
            )
        if block.name not in _CHECKS:
            what = f"there is no fence {block.name}"
            raise Missing(what, nearest(block.name, _CHECKS) or ", ".join(_CHECKS))
        _CHECKS[block.name](block.text.strip())
    except Missing as error:
        yield block.first + bool(block.name in _CHECKS), error


def _missing_of(page: str) -> Iterator[tuple[str, str]]:
    """What is not there: words for those who search, and ways that lead to the page."""
    data = front_matter(page)
    if not str(data.get("description") or "").strip():
        yield (
            "no description",
            "say in the front matter, description: …, what is answered",
        )
    if '"' in str(data.get("description")):
        yield 'a " in the description', "write “ and ”: it ends what others are shown"
    if not data.get("searches") and page != "index":  # that is where one searches
        yield (
            "no searches",
            "list in the front matter, searches: …, what a reader types",
        )
    if page not in nav():
        yield "is not in the nav", f"add a line to {CONFIG.name}: - …: {page}.md"
    if page != "index" and f"]({page}.md" not in (DOCS / "index.md").read_text():
        yield "the front page does not name it", f"link to {page}.md in docs/index.md"


def _dead(page: str, link: str) -> Missing | None:
    """Why a link leads nowhere; None: it leads somewhere, or to another host."""
    path, _, anchor = link.partition("#")
    if ":" in path:
        return None
    whole = (
        (DOCS / page).parent.joinpath(path).resolve() if path else DOCS / f"{page}.md"
    )
    if not whole.is_file():
        here = PurePosixPath(page).parent
        files = [_relative(f"{name}.md", here) for name in PAGES]
        return Missing(
            f"no page {path} to link to", nearest(path, files) or "see docs/"
        )
    if not anchor or whole.suffix != ".md":
        return None
    there = anchors(whole.read_text())
    if anchor in there:
        return None
    what = f"no heading or proof #{anchor} in {whole.relative_to(ROOT).as_posix()}"
    return Missing(what, nearest(anchor, there) or "link to a heading that is there")


def _relative(name: str, folder: PurePosixPath) -> str:
    up = "../" * len(folder.parts)
    return (
        name.removeprefix(f"{folder}/") if name.startswith(f"{folder}/") else up + name
    )


def _unwritten(page: str) -> Iterator[Mistake]:
    """What is still as `make new` wrote it: of the page's files, and what names it elsewhere."""
    own = [DOCS / f"{page}.md", *examples_of(page), *filter(None, [claims_of(page)])]
    names = (f"{page}.md", f'"{page.replace("-", "_")}')
    for file in {*own, CONFIG, DOCS / "index.md", ROOT / "runner/scenes.py"}:
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if TO_DO in line and (file in own or any(name in line for name in names)):
                remedy = line.partition(TO_DO)[2].partition("](")[0].strip('"')
                name = file.relative_to(ROOT).as_posix()
                yield Mistake(name, number, "as `make new` wrote it", remedy)


def _unshown(page: str) -> Iterator[Mistake]:
    """The claims of a page that no page shows."""
    if not (module := claims_of(page)):
        return
    name = module.relative_to(ROOT).as_posix()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            fence = f"```proof\n{name}::{node.name}\n```"
            if fence not in _everything():
                what = f"no page shows the claim {node.name}"
                yield Mistake(name, node.lineno, what, f"paste\n{fence}")


@cache
def _everything() -> str:
    return "\n".join((DOCS / f"{page}.md").read_text() for page in PAGES)
