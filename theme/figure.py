"""Draws a recording as a timeline: inline SVG that needs no script and fits any width.

Nothing but the standard library: the same drawing is made when the site is built
and, again and again during a run, in a reader's browser. Positions along the time are
percentages, so that text keeps its size on a small screen.
"""

from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

LANES = ("client waits", "event loop", "thread pool", "worker process")

_HEAD, _ROW, _BAR, _PRINTS, _FOOT = 24, 34, 12, 32, 22
"""Heights in pixels: a lane's name, a row, the bar in it, the dots, the axis."""


def draw(recording: dict[str, Any]) -> str:
    """The timeline of a recording, growing or whole, as an SVG element."""
    bars = _bars(recording)
    whole = max([0.001, *(bar["end"] for bar in bars)])
    whole = max([whole, *(line["time"] for line in recording["printed"])]) * 1.01
    lanes = [
        (lane, rows)
        for lane in LANES
        if (rows := [bar for bar in bars if bar["lane"] == lane])
    ]
    prints = recording["printed"]
    foot = sum(_HEAD + _ROW * len(rows) for _, rows in lanes)
    foot += _PRINTS if prints else 0
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
    _axis(svg, whole, foot)
    moments = _moments(recording)
    y = 0
    for lane, rows in lanes:
        css = lane.replace(" ", "-")
        _text(svg, 0, y + 16, lane, f"lane {css}")
        y += _HEAD
        for bar in rows:
            _bar(svg, bar, whole, y, css)
            if bar.get("handed_over") in moments:
                x = _percent(bar["handed_over"], whole)
                at = {"x1": x, "x2": x, "y1": str(y + 16), "y2": str(foot)}
                SubElement(svg, "line", {"class": "response", **at})
            y += _ROW
    if prints:
        _text(svg, 0, y + 16, "prints", "lane prints")
        for line in prints:
            x = _percent(line["time"], whole)
            dot = {"class": "print", "cx": x, "cy": str(y + 26), "r": "3"}
            SubElement(SubElement(svg, "circle", dot), "title").text = line["text"]
    return tostring(svg, encoding="unicode")


def story(recording: dict[str, Any]) -> str:
    """What the timeline shows, in one or two sentences."""
    ends: dict[str, list[str]] = {"has the response to": [], "leaves": [], "loses": []}
    for r in recording["requests"]:
        if r["received"] is not None:
            end = (
                "loses"
                if r["error"]
                else "leaves"
                if r["left"]
                else "has the response to"
            )
            after = f"after {seconds(r['received'] - r['sent'])}"
            after += f" ({r['error']})" if r["error"] else ""
            ends[end].append(f"{r['method']} {r['path']} {after}")
    first = " ".join(f"The client {end} {_and(of)}." for end, of in ends.items() if of)
    runs = []
    for task in recording["tasks"]:
        where = "on the" if task["lane"] == "event loop" else "in the"
        does = "is open" if task["open"] else f"runs {where} {task['lane']}"
        run = f"{task['function']} {does}"
        run += f" from {seconds(task['start'])} to {seconds(task['end'])}"
        runs.append(run + (f" and fails with {task['error']}" * bool(task["error"])))
    return f"{first} {_and(runs)}." if runs else first


def _moments(recording: dict[str, Any]) -> set[float]:
    """When a response had been handed over and a task started on it."""
    handed = [r["handed_over"] for r in recording["requests"]]
    return {
        max(before)
        for task in recording["tasks"]
        if (before := [m for m in handed if m is not None and m <= task["start"]])
    }


def _bars(recording: dict[str, Any]) -> list[dict[str, Any]]:
    bars = []
    for r in recording["requests"]:
        waits = f"{r['method']} {r['path']}"
        if r["received"] is not None:
            after = f"after {seconds(r['received'] - r['sent'])}"
            waits += (
                f" → {'leaves' if r['left'] else r['error'] or r['status']} {after}"
            )
        end = r["received"] if r["received"] is not None else r["now"]
        bars.append(
            {
                "label": waits,
                "lane": LANES[0],
                "start": r["sent"],
                "end": end,
                "open": False,
                "error": r["error"],
                "handed_over": r["handed_over"],
            }
        )
    for task in recording["tasks"]:
        label = f"{task['function']} · {seconds(task['end'] - task['start'])}"
        label += f" ✕ {task['error']}" if task["error"] else ""
        bars.append({**task, "label": label})
    return bars


def _bar(svg: Element, bar: dict[str, Any], whole: float, y: int, css: str) -> None:
    start, end = bar["start"] / whole, bar["end"] / whole
    if start > 0.5:
        _text(svg, end, y + 12, bar["label"], "name", anchor="end")
    else:
        _text(svg, start, y + 12, bar["label"], "name")
    shape = {
        "class": f"bar {css}"
        + (" open" if bar["open"] else "")
        + (" failed" if bar["error"] else ""),
        "x": _percent(bar["start"], whole),
        "y": str(y + 17),
        "height": str(_BAR),
        "rx": "2",
    }
    short = end - start < 0.02  # seen however short it is
    width = "4" if short else _percent(bar["end"] - bar["start"], whole)
    SubElement(svg, "rect", {**shape, "width": width})


def _axis(svg: Element, whole: float, foot: int) -> None:
    steps = [n * 10**e for e in range(-4, 4) for n in (1, 2, 5)]
    step = next(step for step in steps if whole / step <= 5)
    for number in range(int(whole / step) + 1):
        time = number * step
        x = _percent(time, whole)
        at = {"x1": x, "x2": x, "y1": "0", "y2": str(foot)}
        SubElement(svg, "line", {"class": "tick", **at})
        anchor = "middle" if number else "start"
        if time / whole > 0.93:
            anchor = "end"
        _text(svg, time / whole, foot + 16, seconds(time), "time", anchor)


def _text(
    svg: Element, x: float, y: int, text: str, css: str, anchor: str = "start"
) -> None:
    at = {"x": _percent(x, 1), "y": str(y), "class": css, "text-anchor": anchor}
    SubElement(svg, "text", at).text = text


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%"


def seconds(time: float) -> str:
    """A duration in words, such as ``12 ms``."""
    if time == 0:
        return "0"
    if time < 0.0001:
        return "< 0.1 ms"
    if time < 0.0995:
        return f"{time * 1000:.2g} ms" if time < 0.01 else f"{time * 1000:.0f} ms"
    return f"{time:.2f}".rstrip("0").rstrip(".") + " s"


def _and(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]
