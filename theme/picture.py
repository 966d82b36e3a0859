"""The picture of a page, for those who link to it: its title and its first figure, as SVG.

It stands alone: 1200 by 630, with colours and fonts of its own in place of the stylesheet's.
"""

import re
import textwrap
from html import escape

WIDTH, HEIGHT = 1200, 630
_MARGIN, _LINE, _LETTERS = 64, 62, 36
"""Around everything; the height of a line of the title, and how many letters go into it."""
_MOST_LINES = 3
_LEAST, _MOST = 1.2, 1.75
"""How much larger a figure is than on its page; what does not go in is cut off below."""

_SHAPES = """
text { font-family: "DejaVu Sans", "Liberation Sans", "Noto Sans", Arial, sans-serif; }
.title { font-size: 50px; font-weight: 700; }
.site { font-size: 26px; }
svg.timeline text { font-size: 12px; stroke: none; }
svg.timeline text.name { font-family: "DejaVu Sans Mono", "Liberation Mono", "Noto Sans Mono", monospace; font-size: 11.5px; }
svg.timeline text.lane { font-weight: 700; }
svg.timeline text.time { font-size: 11px; }
.bar, line.response { stroke-width: 1.5; }
.bar.open { fill-opacity: .2; }
.bar.failed { fill: none; stroke-dasharray: 3 2; }
.bar.torn { fill-opacity: .45; stroke-dasharray: 3 2; }
.life { stroke-width: 2; }
.life.begins { stroke-dasharray: 2 4; }
.hop.back { stroke-dasharray: 3 2; }
svg.timeline text.mark { font-size: 11px; font-weight: 600; }
line.response { stroke-dasharray: 4 3; }
.dot { fill-opacity: .45; stroke: none; }
.median { stroke-width: 2; }
.lost { fill: none; stroke-width: 1; }
"""

_COLOURS = """
.paper {{ fill: {paper}; }}
text {{ fill: {ink}; }}
.median, .lost {{ stroke: {ink}; }}
text.time, .print, .waits {{ fill: {pale}; }}
.life, .hop {{ stroke: {pale}; }}
.tick {{ stroke: {tick}; }}
.edge, .site, .after {{ fill: {response}; }}
line.response {{ stroke: {response}; }}
.client-waits {{ fill: {response}; stroke: {response}; }}
.event-loop {{ fill: {loop}; stroke: {loop}; }}
.thread-pool {{ fill: {pool}; stroke: {pool}; }}
.worker-process {{ fill: {worker}; stroke: {worker}; }}
.bar.failed {{ fill: none; }}
.before {{ fill: {pool}; }}
.twice {{ fill: {worker}; }}
"""
"""Those of the site's style, where they are explained."""

LIGHT = _SHAPES + _COLOURS.format(
    paper="#fff",
    ink="#202124",
    pale="#5f6368",
    tick="#e0e0e0",
    response="#00695c",
    loop="#b53d00",
    pool="#5a35c4",
    worker="#8a5a00",
)
DARK = _COLOURS.format(
    paper="#1e2129",
    ink="#e2e4e9",
    pale="#a9b0bd",
    tick="#3a3f4b",
    response="#4fd8c4",
    loop="#ffab7a",
    pool="#c0adff",
    worker="#f0c96a",
)


def card(title: str, site: str, figure: str, style: str = "") -> str:
    """The picture of a page with that title; `figure` is an SVG element, or empty.

    Without a `style` of its own it is to be drawn with one of the above.
    """
    lines = textwrap.wrap(title, _LETTERS)
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"{lines[_MOST_LINES - 1]} …"]
    told = "".join(
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 40 + _LINE * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    above = _MARGIN + 30 + _LINE * len(lines)
    room = HEIGHT - _MARGIN - 40 - above
    wide = WIDTH - 2 * _MARGIN
    tall = re.search(r' height="(\d+)"', figure)
    scale = max(_LEAST, min(_MOST, room / int(tall[1]))) if tall else 1
    figure = figure.replace(' width="100%"', f' width="{wide / scale:.0f}"', 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
        f"{f'<style>{style}</style>' if style else ''}"
        f'<rect width="{WIDTH}" height="{HEIGHT}" class="paper"/>'
        f'<rect width="{WIDTH}" height="16" class="edge"/>{told}'
        f'<svg x="{_MARGIN}" y="{above}" width="{wide}" height="{room}">'
        f'<g transform="scale({scale:.3f})">{figure}</g></svg>'
        f'<text class="site" x="{_MARGIN}" y="{HEIGHT - _MARGIN + 20}">{escape(site)}</text></svg>'
    )
