"""A page as plain Markdown: what its fences name is filled in, what only HTML can show is told.

A file is shown whole the first time, then in part, a change as a diff, a figure in words, a
claim with the name of the test that holds it; a terminal session stays as it is. What comes
out has no HTML and needs nothing of this project to be read.
"""

import difflib
import posixpath
import re
from collections.abc import Callable

from recording.model import Bench, Latencies, Recording
from theme import chart, example, outcomes, proof, versions
from theme.fences import recorded
from theme.source import language_of
from theme.timeline import story

_FENCE = re.compile(r"^```(\w+)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_PICTURE = re.compile(r'<figure.*?aria-label="([^"]*)".*?</figure>', re.DOTALL)
_BOX = re.compile(r'^!!! \w+ "(.+)"\n((?:    .*\n|\n(?=    ))+)', re.MULTILINE)
_FOLD = re.compile(r"^///.*\n", re.MULTILINE)
_DIV = re.compile(r"^</?div[^>]*>\n+", re.MULTILINE)
_ANCHOR = re.compile(r'<a [^>]*href="([^"]+)"[^>]*>(.*?)</a>')
_SPAN = re.compile(r"</?span[^>]*>")
_LINK = re.compile(r"(\]\()([^)\s:]+)\)")
_CODE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def plain(page: str, text: str) -> str:
    """The source of a page, named as its file below ``docs/``, in plain Markdown.

    Links lead to the Markdown of other pages, from where ``address`` puts this one.
    Raises `Missing` if a fence names what is not there.
    """
    shown = set[str]()
    text = _FENCE.sub(
        lambda fence: _filled_in(fence, shown), _FRONT_MATTER.sub("", text)
    )
    parts = _CODE.split(text)  # prose, and in turn what is to stay as it is
    parts[::2] = [_without_html(page, part) for part in parts[::2]]
    return "".join(parts).strip() + "\n"


def address(page: str) -> str:
    """Where the Markdown of a page is on the site, such as ``multiple-tasks/index.md``."""
    return "index.md" if page == "index" else f"{page}/index.md"


def _filled_in(fence: re.Match[str], shown: set[str]) -> str:
    name, text = fence.groups()
    if name == "example":
        return _example(text.strip(), shown)
    return _FENCES[name](text.strip()) if name in _FENCES else fence[0]


def _without_html(page: str, prose: str) -> str:
    prose = _PICTURE.sub(r"*Figure:* \1", prose)
    prose = _BOX.sub(_quoted, prose)
    prose = _SPAN.sub("", _DIV.sub("", _FOLD.sub("", prose)))
    prose = _ANCHOR.sub(lambda a: f"[{a[2]}]({_of_source(page, a[1])})", prose)
    prose = _LINK.sub(lambda a: f"{a[1]}{_moved(page, a[2])})", prose)
    return re.sub(r"\n{3,}", "\n\n", prose)


def _quoted(box: re.Match[str]) -> str:
    lines = [f"**{box[1]}**", "", *(line[4:] for line in box[2].rstrip().split("\n"))]
    return "\n".join(f"> {line}".rstrip() for line in lines) + "\n\n"


def _of_source(page: str, link: str) -> str:
    """A link between built pages as one between their sources."""
    path, _, anchor = link.partition("#")
    here = page.removesuffix("index")
    whole = posixpath.normpath(posixpath.join(here, path))
    source = posixpath.relpath(f"{whole}.md", posixpath.dirname(page) or ".")
    return f"{source}#{anchor}" if anchor else source


def _moved(page: str, link: str) -> str:
    """A link between sources as one between the Markdown files of the site."""
    path, _, anchor = link.partition("#")
    if not path.endswith(".md"):
        return link
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    here = posixpath.dirname(address(page)) or "."
    moved = posixpath.relpath(address(whole.removesuffix(".md")), here)
    return f"{moved}#{anchor}" if anchor else moved


def _example(text: str, shown: set[str]) -> str:
    """The file, or what the fence names of it if the page has shown the file."""
    path, source, lines = example.parts(text)
    if path not in shown:
        shown.add(path)
        names = [f"`{name.strip()}`" for name in text.partition(":")[2].split(",")]
        told = f"*{', '.join(names)} of this file:*\n\n" if ":" in text else ""
        return told + _file(path, source)
    kept = [
        line if number in lines else "…\n"
        for number, line in enumerate(source.splitlines(keepends=True), 1)
    ]
    return _file(path, re.sub(r"(…\n)+", "…\n", "".join(kept)))


def _file(path: str, source: str) -> str:
    return _block(f'{language_of(path)} title="examples/{path}"', source)


def _change(text: str) -> str:
    before = text.partition(" → ")[0]
    path, old, source, _ = example.pair(text)
    names = f"examples/{before}", f"examples/{path}"
    lines = difflib.unified_diff(old, source.splitlines(), *names, lineterm="")
    return _block("diff", "\n".join(lines))


def _block(head: str, code: str) -> str:
    return f"```{head}\n{code.rstrip()}\n```"


def _proof(node: str) -> str:
    _, statement, _ = proof.find(node)
    return f"- {statement} (`{node}`)"


def _timeline(name: str) -> str:
    recording = recorded(Recording, name)
    told = story(recording.run)
    return f"*Figure, recorded with {recording.made_with}:* {told}"


def _playground(name: str) -> str:
    path, source, _ = example.parts(f"{recorded(Recording, name).scene.example}.py")
    return _file(path, source)


def _chart(name: str) -> str:
    latencies = recorded(Latencies, name)
    told = chart.story(latencies.series)
    return f"*Figure, recorded in one run with {latencies.made_with}:* {told}"


def _losses(name: str) -> str:
    bench = recorded(Bench, name)
    told = outcomes.story(bench.outcomes)
    return f"*Figure, recorded in one run with {bench.made_with}:* {told}."


def _comparison(name: str) -> str:
    bench = recorded(Bench, name)
    own, default = outcomes.split(bench.outcomes)
    main = outcomes.main_of(bench.outcomes)
    return "\n\n".join(
        [
            _table(*outcomes.rows(own, main)),
            outcomes.explained(bench),
            "The same with the settings that come with them:",
            _table(*outcomes.rows(default, main)),
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return re.sub(r"</?b>", "**", table)


def _versions(part: str) -> str:
    if part == "date":
        return re.sub("</?code>", "`", versions.when())
    return _table(
        ["What", "Version"], [[*row] for row in versions.listed(part).items()]
    )


_FENCES: dict[str, Callable[[str], str]] = {
    "change": _change,
    "proof": _proof,
    "timeline": _timeline,
    "glance": _timeline,
    "playground": _playground,
    "chart": _chart,
    "losses": _losses,
    "comparison": _comparison,
    "versions": _versions,
}
