"""The `example` and `change` fences: a file below ``examples/``, and what another changes in it.

An `example` names a file; with names of functions, classes or assignments after it these are
shown and the rest of the file is folded, to a line that says how much it is::

    multiple_tasks/in_order.py: send_welcome_email, create_multiple_tasks

A `change` names a file that the reader has seen and the one that comes of it, and shows the
lines that differ, with those around them::

    multiple_tasks/in_order.py → multiple_tasks/at_the_same_time.py

Both hold the whole (new) file: it unfolds, and is what the copy button copies. A name that
is not there, or two files that differ in more than a third, fail the build.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from html import escape
from pathlib import Path
from types import MappingProxyType

from markdown import Markdown

from theme.fences import Missing, fence, nearest
from theme.source import LANGUAGES, definitions, highlighted, language_of

EXAMPLES = Path(__file__).parent.parent / "examples"

FENCE = re.compile(r"```(?:example|change)\n(?:.* → )?([\w/.]+)(?:: .*)?\n```")
"""A fence of either kind in the source of a page, and the file that it shows."""

MOST = 1 / 3
"""Of the lines of two files together, how many may differ in a change."""

_AROUND = 2
"""Lines that are shown before and after one that differs."""

_FEWEST = 3
"""Lines that are worth a fold."""


@fence
def example(text: str, md: Markdown) -> str:
    """The file, folded but for what is named."""
    path, source, shown = parts(text)
    return _block(path, source, md, shown)


@fence
def change(text: str, md: Markdown) -> str:
    """What the second file changes in the first."""
    path, old, source, match = pair(text)
    new = source.splitlines()
    removed: dict[int, list[str]] = {}
    added: set[int] = set()
    shown: set[int] = set()
    for kind, i, j, k, end in match.get_opcodes():
        if kind != "equal":
            removed[k + 1] = old[i:j]
            added |= set(range(k + 1, end + 1))
            shown |= set(_around(new, k, -1)) | set(_around(new, end - 1, 1))
    shown |= added | set(_heads(source, added | removed.keys()))
    return _block(path, source, md, shown, added, removed)


def parts(text: str) -> tuple[str, str, set[int]]:
    """The path of an example's fence, its source, and the lines that are shown, from 1.

    Raises `Missing` if there is no such file, or no such part of it.
    """
    path, _, after = text.partition(":")
    names = [name.strip() for name in after.split(",") if name.strip()]
    source = _read(path)
    if not names:
        return path, source, set(range(1, len(source.splitlines()) + 1))
    table = definitions(source)
    shown = {1}
    for name in names:
        if name not in table:
            remedy = nearest(name, table) or f"it has {', '.join(table)}"
            raise Missing(f"there is no {name} in this file", remedy)
        first, last = table[name]
        shown |= set(range(first, last + 1))
    return path, source, shown


def pair(text: str) -> tuple[str, list[str], str, SequenceMatcher[str]]:
    """Of a change's fence: the new file's path, the old lines, the new source, how they match.

    Raises `Missing` if there are not two such files, or they have little in common.
    """
    before, _, after = text.partition(" → ")
    old, source = _read(before).splitlines(), _read(after)
    match = SequenceMatcher(None, old, source.splitlines(), autojunk=False)
    differs = 1 - match.ratio()
    if differs > MOST:
        raise Missing(
            f"{after} is no change of {before}, {differs:.0%} differs",
            f"```example\n{after}\n```",
        )
    return after, old, source, match


def _read(path: str) -> str:
    file = EXAMPLES / path
    if not file.is_file():
        files = (
            f.relative_to(EXAMPLES).as_posix()
            for f in EXAMPLES.rglob("*.*")
            if f.suffix in LANGUAGES
        )
        raise Missing(
            f"there is no examples/{path}", nearest(path, files) or "write it"
        )
    return file.read_text()


def _around(lines: list[str], index: int, step: int) -> Iterator[int]:
    """The numbers of the lines beside the one of that index, in that direction, to a blank one."""
    for _ in range(_AROUND):
        index += step
        if not 0 <= index < len(lines) or not lines[index].strip():
            return
        yield index + 1


def _heads(source: str, changed: Iterable[int]) -> Iterator[int]:
    """The lines in which functions and classes begin that hold one of these lines."""
    lines = source.splitlines()
    spans = [s for name, s in definitions(source).items() if name != "imports"]
    for number in changed:
        for first, last in spans:
            if first < number <= last:
                while lines[first - 1].lstrip().startswith("@"):
                    yield first
                    first += 1
                yield first


def _block(
    path: str,
    source: str,
    md: Markdown,
    shown: set[int],
    added: Container[int] = (),
    removed: Mapping[int, list[str]] = MappingProxyType({}),
) -> str:
    """The file as HTML: the lines that are shown, and folds for those that are not.

    `shown` and `added` are lines counted from 1; `removed` are lines that stood before one.
    """
    title = f"examples/{path}"
    block = highlighted(source, language_of(path), title)
    block = block.replace(title, re.sub("([/_])", r"\1<wbr>", title), 1)
    head, code, tail = re.split(r"(?<=<code>)|(?=</code>)", block)
    lines = [f"{line}\n" for line in code.splitlines()]
    html: list[str] = []
    folded = False
    for first, last in _runs(len(lines), shown, removed):
        html += [f"<del>{escape(line)}\n</del>" for line in removed.get(first, [])]
        run = lines[first - 1 : last]
        text = any(not line.isspace() for line in run)
        if first in shown:
            html += [
                f"<ins>{line}</ins>" if number in added else line
                for number, line in enumerate(run, first)
            ]
        elif text and last - first + 1 < _FEWEST:
            html += run
        else:
            if text:
                count = f"⋯ {last - first + 1} lines"
                html.append(f'<span class="fold" data-lines="{count}"></span>')
            else:
                html.append(run.pop(0))  # of empty lines one is enough
            html.append(f'<span class="folded">{"".join(run)}</span>')
            folded = True
    html += [f"<del>{escape(line)}\n</del>" for line in removed.get(len(lines) + 1, [])]
    if folded or removed:
        whole = (
            '<label class="whole" data-search-exclude><input type="checkbox" autocomplete="off"> '
            f"all {len(lines)} lines</label>"
        )
        head = head.replace("</span><pre>", f"</span>{whole}<pre>", 1)
    return f"{head}{''.join(html)}{tail}"


def _runs(
    lines: int, shown: Container[int], removed: Container[int]
) -> Iterator[tuple[int, int]]:
    """The first and last lines of what is shown, and of what is not, in turn.

    What is not shown ends where something was removed.
    """
    first = 1
    for number in range(2, lines + 2):
        if number > lines or (number in shown) != (first in shown) or number in removed:
            yield first, number - 1
            first = number
