"""The `chart` fence: recorded latencies, one dot per request, on a logarithmic scale.

The fence names a recording such as ``heavy_work/latencies``; one that is not there
fails the build.
"""

import math
from statistics import median
from xml.etree.ElementTree import SubElement, tostring

from markdown import Markdown

from recording.figure import canvas, css, seconds
from recording.model import Latencies, Latency
from theme.fences import fence, figure, recorded

_ROW, _FOOT = 46, 22
"""Heights in pixels: a way with its name and its dots, the axis."""


@fence
def chart(name: str, _: Markdown) -> str:
    """The chart of a recording of latencies."""
    latencies = recorded(Latencies, name)
    return figure(
        draw(latencies.series),
        f"Recorded in one run with {latencies.made_with}. "
        "Each dot is a request, the line their median.",
    )


def draw(series: list[Latency]) -> str:
    """The latencies as an SVG element that needs no script and fits any width."""
    everything = [second for way in series for second in way.seconds]
    low, high = math.log10(min(everything)), math.log10(max(everything))

    def x(second: float) -> str:
        return f"{2 + 96 * (math.log10(second) - low) / (high - low):.2f}%"

    foot = _ROW * len(series)
    svg = canvas(story(series), foot + _FOOT, "timeline latencies")
    for power in range(math.ceil(low), math.floor(high) + 1):
        at = {"x1": x(10**power), "x2": x(10**power), "y1": "0", "y2": str(foot)}
        SubElement(svg, "line", {"class": "tick", **at})
        where = {"x": x(10**power), "y": str(foot + 16), "class": "time"}
        SubElement(svg, "text", {**where, "text-anchor": "middle"}).text = seconds(
            10**power
        )
    for row, way in enumerate(series):
        y, colour = row * _ROW, css(way.lane)
        name = {"x": "0", "y": str(y + 14), "class": f"lane {colour}"}
        SubElement(svg, "text", name).text = _line(way)
        for second in way.seconds:
            dot = {"cx": x(second), "cy": str(y + 30), "r": "5"}
            SubElement(svg, "circle", {"class": f"dot {colour}", **dot})
        middle = x(median(way.seconds))
        at = {"x1": middle, "x2": middle, "y1": str(y + 20), "y2": str(y + 40)}
        SubElement(svg, "line", {"class": "median", **at})
    return tostring(svg, encoding="unicode")


def story(series: list[Latency]) -> str:
    """What the chart shows, in a sentence."""
    lines = "; ".join(_line(way) for way in series)
    return f"How long a request takes while the server does: {lines}."


def _line(way: Latency) -> str:
    middle, longest = median(way.seconds), max(way.seconds)
    return f"{way.name}: median {seconds(middle)}, longest {seconds(longest)}"
