"""The `chart` fence: recorded latencies, one dot per request, on a logarithmic scale.

The fence names a recording such as ``heavy_work/latencies``; one that is not there
fails the build.
"""

import math
from statistics import median
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markdown import Markdown

from theme.figure import seconds
from theme.timeline import made_with, recorded

_ROW, _FOOT = 46, 22
"""Heights in pixels: a way with its name and its dots, the axis."""


def fence(
    source: str,
    language: str,
    css_class: str,
    options: dict[str, Any],
    md: Markdown,
    **_: Any,
) -> str:
    """Render one chart, as superfences asks a custom fence to."""
    recording = recorded(source.strip())
    return (
        f'<figure class="{css_class}">{draw(recording)}'
        f"<figcaption>Recorded in one run with {made_with(recording)}. "
        "Each dot is a request, the line their median.</figcaption></figure>"
    )


def draw(recording: dict[str, Any]) -> str:
    """The latencies as an SVG element that needs no script and fits any width."""
    series = recording["series"]
    everything = [second for way in series for second in way["seconds"]]
    low, high = math.log10(min(everything)), math.log10(max(everything))

    def x(second: float) -> str:
        return f"{2 + 96 * (math.log10(second) - low) / (high - low):.2f}%"

    foot = _ROW * len(series)
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "timeline",
            "role": "img",
            "aria-label": story(recording),
            "width": "100%",
            "height": str(foot + _FOOT),
        },
    )
    for power in range(math.ceil(low), math.floor(high) + 1):
        at = {"x1": x(10**power), "x2": x(10**power), "y1": "0", "y2": str(foot)}
        SubElement(svg, "line", {"class": "tick", **at})
        where = {"x": x(10**power), "y": str(foot + 16), "class": "time"}
        SubElement(svg, "text", {**where, "text-anchor": "middle"}).text = seconds(
            10**power
        )
    for row, way in enumerate(series):
        y, css = row * _ROW, way["lane"].replace(" ", "-")
        name = {"x": "0", "y": str(y + 14), "class": f"lane {css}"}
        SubElement(svg, "text", name).text = _line(way)
        for second in way["seconds"]:
            dot = {"cx": x(second), "cy": str(y + 30), "r": "5"}
            SubElement(svg, "circle", {"class": f"dot {css}", **dot})
        middle = x(median(way["seconds"]))
        at = {"x1": middle, "x2": middle, "y1": str(y + 20), "y2": str(y + 40)}
        SubElement(svg, "line", {"class": "median", **at})
    return tostring(svg, encoding="unicode")


def story(recording: dict[str, Any]) -> str:
    """What the chart shows, in a sentence."""
    lines = "; ".join(_line(way) for way in recording["series"])
    return f"How long a request takes while the server does: {lines}."


def _line(way: dict[str, Any]) -> str:
    middle, longest = median(way["seconds"]), max(way["seconds"])
    return f"{way['name']}: median {seconds(middle)}, longest {seconds(longest)}"
