"""Draws a recording as a timeline: inline SVG that needs no script and fits any width.

Nothing but the standard library: the same drawing is made when the site is built
and, again and again during a run, in a reader's browser. Positions along the time are
percentages, so that text keeps its size on a small screen.
"""

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from recording.model import Run
from recording.watching import CLIENT_WAITS, EVENT_LOOP, LANES

_HEAD, _ROW, _BAR, _PRINTS, FOOT = 21, 29, 10, 27, 20
"""Heights in pixels: a lane's name, a row, the bar in it, the dots, the axis."""

LETTER, LONGEST = 0.023, 46
"""What part of the width a letter of a label takes on a small screen, and how many letters
have room there."""


@dataclass
class _Bar:
    """One bar: a client that waits, or a call."""

    label: str
    lane: str
    start: float
    end: float
    open: bool = False
    failed: bool = False
    handed_over: float | None = None


def canvas(story: str, height: int, kind: str = "timeline") -> Element:
    """An empty SVG of that height in pixels, as wide as there is room, and what it tells."""
    return Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": kind,
            "role": "img",
            "aria-label": story,
            "width": "100%",
            "height": str(height),
        },
    )


def css(lane: str) -> str:
    """The class that gives everything in a lane its colour."""
    return lane.replace(" ", "-")


def draw(run: Run, now: float = 0) -> str:
    """The timeline of a run, as an SVG element; while it grows it ends at `now`."""
    bars = _bars(run, now)
    whole = max([0.001, *(bar.end for bar in bars)])
    whole = max([whole, *(line.time for line in run.printed)]) * 1.01
    lanes = [
        (lane, rows)
        for lane in LANES
        if (rows := [bar for bar in bars if bar.lane == lane])
    ]
    foot = sum(_HEAD + _ROW * len(rows) for _, rows in lanes)
    foot += _PRINTS if run.printed else 0
    svg = canvas(story(run), foot + FOOT)
    axis(svg, whole, foot)
    for freeze in run.freezes:
        band(svg, freeze.start / whole, freeze.end / whole, foot, "frozen")
    moments = _moments(run)
    y = 0
    for lane, rows in lanes:
        text(svg, 0, y + 14, lane, f"lane {css(lane)}")
        y += _HEAD
        for bar in rows:
            _bar(svg, bar, whole, y)
            if bar.handed_over is not None and bar.handed_over in moments:
                x = percent(bar.handed_over, whole)
                at = {"x1": x, "x2": x, "y1": str(y + 16), "y2": str(foot)}
                svg.insert(
                    0, Element("line", {"class": "response", **at})
                )  # behind words
            y += _ROW
    if run.printed:
        text(svg, 0, y + 14, "prints", "lane prints")
        for line in run.printed:
            x = percent(line.time, whole)
            dot = {"class": "print", "cx": x, "cy": str(y + 22), "r": "3"}
            SubElement(SubElement(svg, "circle", dot), "title").text = line.text
    return tostring(svg, encoding="unicode")


def story(run: Run) -> str:
    """What the timeline shows, in one or two sentences."""
    ends: dict[str, list[str]] = {"has the response to": [], "leaves": [], "loses": []}
    for e in run.exchanges:
        if e.received is not None:
            end = "leaves" if e.left else "has the response to"
            after = f"after {seconds(e.received - e.sent)}"
            after += f" ({e.error})" if e.error else ""
            end = "loses" if e.error else end
            ends[end].append(f"{e.method} {e.path} {after}")
    first = " ".join(f"The client {end} {and_(of)}." for end, of in ends.items() if of)
    frozen = [f"from {seconds(f.start)} to {seconds(f.end)}" for f in run.freezes]
    first += f" The process is frozen {and_(frozen)}." if frozen else ""
    runs = []
    for call in run.calls:
        where = "on the" if call.lane == EVENT_LOOP else "in the"
        does = "is open" if call.open else f"runs {where} {call.lane}"
        told = f"{call.function} {does}"
        told += f" from {seconds(call.start)} to {seconds(call.end)}"
        runs.append(told + (f" and fails with {call.error}" if call.error else ""))
    return f"{first} {and_(runs)}." if runs else first


def _moments(run: Run) -> set[float]:
    """When a response had been handed over and a call started on it."""
    handed = [e.handed_over for e in run.exchanges if e.handed_over is not None]
    return {
        max(before)
        for call in run.calls
        if (before := [moment for moment in handed if moment <= call.start])
    }


def _bars(run: Run, now: float) -> list[_Bar]:
    bars = []
    for e in run.exchanges:
        words, end = f"{e.method} {e.path}", now
        if e.received is not None:
            outcome = "leaves" if e.left else e.error or e.status
            words += f" → {outcome}"
            after = f" after {seconds(e.received - e.sent)}"
            words += after if len(words + after) <= LONGEST else ""
            end = e.received
        bar = _Bar(words, CLIENT_WAITS, e.sent, end, failed=bool(e.error))
        bar.handed_over = e.handed_over
        bars.append(bar)
    for call in run.calls:
        words = f"{call.function} · {seconds(call.end - call.start)}"
        words += f" ✕ {call.error}" if call.error else ""
        failed = bool(call.error)
        bars.append(_Bar(words, call.lane, call.start, call.end, call.open, failed))
    return bars


def _bar(svg: Element, bar: _Bar, whole: float, y: int) -> None:
    start, end = bar.start / whole, bar.end / whole
    label(svg, start, end, y + 12, bar.label)
    looks = f"bar {css(bar.lane)}"
    looks += " open" if bar.open else ""
    looks += " failed" if bar.failed else ""
    shape = {
        "class": looks,
        "x": percent(bar.start, whole),
        "y": str(y + 16),
        "height": str(_BAR),
        "rx": "2",
    }
    short = end - start < 0.02  # seen however short it is
    width = "4" if short else percent(bar.end - bar.start, whole)
    SubElement(svg, "rect", {**shape, "width": width})


def label(svg: Element, start: float, end: float, y: int, words: str) -> None:
    """Words above a bar from `start` to `end` of the width.

    They fit on a small screen, and are moved away from the bar as little as that takes.
    """
    wide = min(1, len(words) * LETTER)
    middle = (start + end) / 2
    places = [
        ("start", start, min(start, 1 - wide)),
        ("end", end, max(end, wide)),
        ("middle", middle, min(max(middle, wide / 2), 1 - wide / 2)),
    ]
    if start > 0.5:
        places[:2] = places[1::-1]
    anchor, _, x = min(places, key=lambda place: abs(place[2] - place[1]))
    text(svg, x, y, words, "name", anchor)


def band(
    svg: Element, start: float, end: float, height: int, words: str, top: int = 0
) -> None:
    """A shade over the part from `start` to `end` of the width, and its name, if it has one."""
    at = {"x": percent(start, 1), "width": percent(end - start, 1), "y": str(top)}
    looks = {"fill": "currentColor", "fill-opacity": ".1", "height": str(height)}
    SubElement(svg, "rect", {**at, **looks})
    if words:
        text(svg, (start + end) / 2, top + 14, words, "time", anchor="middle")


def axis(svg: Element, whole: float, foot: int) -> None:
    """Lines at round times of the `whole`, and below them these times."""
    steps = [n * 10**e for e in range(-4, 4) for n in (1, 2, 5)]
    step = next(step for step in steps if whole / step <= 5)
    for number in range(int(whole / step) + 1):
        time = number * step
        x = percent(time, whole)
        at = {"x1": x, "x2": x, "y1": "0", "y2": str(foot)}
        SubElement(svg, "line", {"class": "tick", **at})
        anchor = "middle" if number else "start"
        if time / whole > 0.93:
            anchor = "end"
        text(svg, time / whole, foot + 14, seconds(time), "time", anchor)


def text(
    svg: Element, x: float, y: int, words: str, css: str, anchor: str = "start"
) -> None:
    """Words at a part of the width and so many pixels from the top."""
    at = {"x": percent(x, 1), "y": str(y), "class": css, "text-anchor": anchor}
    SubElement(svg, "text", at).text = words


def percent(part: float, whole: float) -> str:
    """A place along the time, or a width."""
    return f"{100 * part / whole:.1f}%"


def seconds(time: float) -> str:
    """A duration in words, such as ``12 ms``."""
    if time == 0:
        return "0"
    if time < 0.0001:
        return "< 0.1 ms"
    if time < 0.0995:
        return f"{time * 1000:.2g} ms" if time < 0.01 else f"{time * 1000:.0f} ms"
    return f"{time:.2f}".rstrip("0").rstrip(".") + " s"


def and_(parts: list[str]) -> str:
    """The parts as a sentence names them."""
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]
