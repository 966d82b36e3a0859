"""The `losses` and `comparison` fences: what a recorded bench has measured.

Both name a recording such as ``choosing/bench``; one that is not there fails the build.
`losses` draws a square for each job of a killed worker, `comparison` is a table of all.
"""

from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markdown import Markdown

from theme.figure import seconds
from theme.timeline import made_with, recorded

_ROW, _SQUARE = 44, 14
_FATES = {
    "b": ("done before the kill", "before"),
    "a": ("done after it", "after"),
    "t": ("started twice", "twice"),
    "l": ("lost", "lost"),
}
_KILLS = {
    "worker": "Worker killed",
    "app": "App killed",
    "broker": "Broker killed",
    "all": "All killed",
}
_MAIN = "Taskiq, RabbitMQ"


def losses(
    source: str,
    language: str,
    css_class: str,
    options: dict[str, Any],
    md: Markdown,
    **_: Any,
) -> str:
    """Render the figure, as superfences asks a custom fence to."""
    recording = recorded(source.strip())
    fates = [
        f'<span class="{css}">{text}</span>'
        for key, (text, css) in _FATES.items()
        if key != "l"
    ]
    return (
        f'<figure class="{css_class}">{draw(recording["rows"])}'
        f"<figcaption>Recorded in one run with {made_with(recording)}. "
        "Each mark is an accepted job, in the order of their numbers: "
        f"{', '.join(fates)}, or an empty frame: lost.</figcaption></figure>"
    )


def draw(rows: list[dict[str, Any]]) -> str:
    """One line of marks for each way, as an SVG element that fits any width."""
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "timeline losses",
            "role": "img",
            "aria-label": "; ".join(map(_story, rows)),
            "width": "100%",
            "height": str(_ROW * len(rows)),
        },
    )
    for row, way in enumerate(rows):
        name = {"x": "0", "y": str(row * _ROW + 14), "class": "lane"}
        fates = way["kills"]["worker"]["fates"]
        counted = f"{fates.count('l')} lost{_twice(fates.count('t'))}"
        SubElement(svg, "text", name).text = f"{_name(way)}: {counted}"
        for index, fate in enumerate(fates):
            SubElement(
                svg,
                "rect",
                {
                    "class": f"fate {_FATES[fate][1]}",
                    "x": f"{100 * index / len(fates):.2f}%",
                    "y": str(row * _ROW + 20),
                    "width": f"{70 / len(fates):.2f}%",
                    "height": str(_SQUARE),
                },
            )
    return tostring(svg, encoding="unicode")


def _story(way: dict[str, Any]) -> str:
    fates = way["kills"]["worker"]["fates"]
    counted = [f"{fates.count(f)} {text}" for f, (text, _) in _FATES.items()]
    present = [text for text in counted if not text.startswith("0 ")]
    return f"{_name(way)}: {', '.join(present)}"


def _name(way: dict[str, Any]) -> str:
    extra = ", default" if way["settings"] == "default" else ""
    return f"{way['name']}{extra}"


def comparison(
    source: str,
    language: str,
    css_class: str,
    options: dict[str, Any],
    md: Markdown,
    **_: Any,
) -> str:
    """Render the two tables, as superfences asks a custom fence to."""
    recording = recorded(source.strip())
    return (
        f"{tables(recording['rows'])}<p>Measured in one run with "
        f"{made_with(recording)}. Accepted and done are jobs per second, as a share of "
        f"{_MAIN}; pick-up is the median time from the request to the first line of its "
        "job.</p>"
    )


def tables(rows: list[dict[str, Any]]) -> str:
    """What each way lost, and how fast it was beside the main path, as HTML."""
    main = next(row for row in rows if row["name"] == _MAIN)["speed"]
    kills = [
        [_name(row), *(_lost(row["kills"].get(k)) for k in _KILLS)] for row in rows
    ]
    speeds = [[_name(row), *_ratios(row["speed"], main)] for row in rows]
    return _table(["Lost", *_KILLS.values()], kills) + _table(
        ["Speed", "Accepted", "Done", "Pick-up"], speeds
    )


def _lost(kill: dict[str, Any] | None) -> str:
    if kill is None:
        return "-"
    after = "" if kill["seconds"] is None else f", {kill['seconds']} s"
    lost = f"<b>{kill['lost']}</b> of {kill['accepted']}"
    return f"{lost}{_twice(kill['twice'])}{after}"


def _twice(count: int) -> str:
    return f", {count} twice" if count else ""


def _ratios(speed: dict[str, float], main: dict[str, float]) -> list[str]:
    shares = [speed[key] / main[key] for key in ("accepted", "done")]
    told = [f"{share:.1f}" if share >= 0.1 else f"{share:.2f}" for share in shares]
    return [*told, seconds(speed["pickup"])]


def _table(head: list[str], rows: list[list[str]]) -> str:
    titles = "".join(f"<th>{title}</th>" for title in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
