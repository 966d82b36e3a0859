"""Draws pictures: of each page of a built site, for those who link to it, and of README.

``python -m workshop.pictures site`` follows a build, ``make picture`` draws README's.
"""

import html
import re
import sys
from pathlib import Path

import resvg_py

from recording.figure import draw
from recording.model import Recording, load
from runner.process import ROOT
from theme.picture import DARK, LIGHT, card

SITE = "After the Response"
README = ROOT / "picture.svg"
SCENE = "def_or_async/blocking_call"
TITLE = "A blocking call in an async def task stops every other request"

_TITLE = re.compile(r'<meta property="og:title" content="([^"]*)">')
_FIGURE = re.compile(r'<svg[^>]* class="timeline.*?</svg>', re.DOTALL)


def of_pages(site: Path) -> None:
    """Write beside each page that names its picture what that is: its first figure."""
    for file in site.rglob("index.html"):
        page = file.read_text()
        if title := _TITLE.search(page):
            figure = _FIGURE.search(page)
            svg = card(html.unescape(title[1]), SITE, figure[0] if figure else "")
            file.with_name("figure.png").write_bytes(png(svg))


def png(svg: str) -> bytes:
    """The picture as those who show it want it."""
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, style_sheet=LIGHT))


def of_readme() -> str:
    """The picture of README, in the colours that its reader prefers."""
    style = f"{LIGHT}@media (prefers-color-scheme: dark) {{{DARK}}}"
    figure = draw(load(Recording, SCENE).run)
    return card(TITLE, SITE, figure, style) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        of_pages(Path(sys.argv[1]))
    else:
        README.write_text(of_readme())
