"""Draws a run of several processes: who had which job when, and who was killed.

A lane for each process, from its start to its end; between the app and the workers the
queue, where a job is a thin bar for as long as it waits. A line leads from what was asked
for to the wait, from the wait to the worker, and from a worker that was killed or failed
back to the next wait.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter
from xml.etree.ElementTree import Element, SubElement, tostring

from recording.figure import (
    FOOT,
    LETTER,
    LONGEST,
    and_,
    axis,
    band,
    canvas,
    css,
    label,
    percent,
    seconds,
    text,
)
from recording.model import Call, Exchange, Life, Run
from recording.watching import CLIENT_WAITS

_HEAD, _ROW, _BAR, _FEW, _TICK = 27, 29, 10, 12, 5
"""Heights in pixels: a lane's name and its process's life, a row, the bar in it; how many
rows there are at most, and the height of one of more."""

_NAME = 0.24
"""What part of the width a lane's name takes on a small screen."""


APPS = ("app", "sender", "receiver")
"""What processes that answer requests are called, perhaps with a number."""


@dataclass(frozen=True)
class Wait:
    """A job in the queue, until a worker takes it or the scene is over."""

    job: str
    start: float
    end: float | None
    again: bool
    """Whether a worker has had it before."""
    rolled_back: bool = False
    """Whether it was taken out of the queue again by the transaction that put it there."""


def waits(run: Run) -> list[Wait]:
    """Each wait of each job: from its placing to its start, and from an end to the next.

    What was taken and is not given out again waits no more: it is done, or lost. What ended
    without network does not wait either: its queue does not know of that end.
    """
    found = []
    for job in dict.fromkeys(placed.job for placed in run.queued):
        had = [call for call in run.calls if call.job == job]
        starts = [call.start for call in had]
        first = next(each for each in run.queued if each.job == job)
        end = starts[0] if starts else first.rolled_back
        back = first.rolled_back is not None
        found.append(Wait(job, first.time, end, again=False, rolled_back=back))
        found += [
            Wait(job, call.end, start, again=True)
            for call, start in zip(
                sorted(had, key=attrgetter("end")), starts[1:], strict=False
            )
            if start > call.end and not _ended_without_network(run, call)
        ]
    return found


def _ended_without_network(run: Run, call: Call) -> bool:
    """Whether it ended where the broker could not be told."""
    return any(
        f.cut and f.process == call.process and f.start <= call.end <= f.end
        for f in run.freezes
    )


def draw(run: Run) -> str:
    """The figure of a run of several processes, as an SVG element."""
    drawing = _Drawing(run)
    return tostring(drawing.svg, encoding="unicode")


def lanes(run: Run) -> list[str]:
    """The names of the processes, from the top: apps, the queue, workers and others."""
    names = list(dict.fromkeys(life.process for life in run.lives))
    if run.queue not in names and waits(run):
        names.append(run.queue)
    return sorted(names, key=lambda name: (not is_app(name), name != run.queue))


def is_app(name: str) -> bool:
    """Whether a process of that name answers requests."""
    return name.startswith(APPS)


class _Drawing:
    """The picture as it grows from the top to the bottom."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._whole = run.over * 1.01
        self._y = 0
        self._waits = waits(run)
        self._rows: dict[str, int] = {}
        """Where the wait of a job is drawn."""
        self._asked: dict[str, int] = {}
        """Where the request that placed a job is drawn."""
        self._parts = Element("g")
        names = lanes(run)
        for name in names:
            self._lane(name, first=name == names[0])
        self.svg = canvas(story(run), self._y + FOOT)
        axis(self.svg, self._whole, self._y)
        self.svg.extend(self._parts)

    def _calls(self, name: str) -> list[Call]:
        return [call for call in self._run.calls if call.process == name]

    def _lane(self, name: str, *, first: bool) -> None:
        top = self._y
        text(self._parts, 0, top + 14, name, "lane")
        for life in self._run.lives:
            if life.process == name:
                self._life(life)
        self._y += _HEAD
        if name == self._run.queue:
            self._queue()
        if is_app(name) and first:
            self._requests(name)
        self._ran(name)
        for freeze in self._run.freezes:
            if freeze.process == name:
                at = freeze.start / self._whole, freeze.end / self._whole
                words = "no network" if freeze.cut else "frozen"
                band(self._parts, *at, self._y - top, words, top)
        for life in self._run.lives:
            if life.process == name and life.held is not None:
                end = self._run.over if life.end is None else life.end
                at = life.held / self._whole, end / self._whole
                band(self._parts, *at, self._y - top, "", top)

    def _life(self, life: Life) -> None:
        """A line from its start to its end, dashed until it was ready."""
        end = self._run.over if life.end is None else life.end
        y = str(self._y + 20)
        for start, to, looks in (
            (life.start, life.ready, "life begins"),
            (life.ready, end, "life"),
        ):
            if to > start:
                at = {"x1": self._at(start), "x2": self._at(to), "y1": y, "y2": y}
                SubElement(self._parts, "line", {"class": looks, **at})
        self._marks(life)

    def _marks(self, life: Life) -> None:
        """What began a life and what ended it, beside its line or above it."""
        mine = [x for x in self._run.lives if x.process == life.process]
        number = mine.index(life)
        successor = mine[number + 1] if life is not mine[-1] else None
        if life.start and not number:
            self._mark(life.start, "started", before=True)
        held = "Ctrl-S" if life.held is not None else ""
        if life.end is None:
            if held:
                self._mark(life.held or 0, held)
            return
        late = life.end - life.signalled > self._whole / 50
        words = "✕ ended" if late else f"✕ {life.signal}"
        words = f"{held}, {words}" if held else words
        if successor:
            words += " ↻ started again"
        self._mark(life.end, words, above=bool(successor))
        if late:
            x = self._at(life.signalled)
            at = {"x1": x, "x2": x, "y1": str(self._y + 15), "y2": str(self._y + 25)}
            SubElement(self._parts, "line", {"class": "life", **at})
            part = life.signalled / self._whole
            free = (len(life.process) + 1 + len(life.signal) / 2) * LETTER
            part = max(part, free)  # behind the lane's name
            text(self._parts, part, self._y + 14, life.signal, "mark", "middle")

    def _mark(
        self, time: float, words: str, *, before: bool = False, above: bool = False
    ) -> None:
        x = time / self._whole
        beside = not above and (x > 0.4 if before else _NAME < x < 0.7)
        y = self._y + (24 if beside else 14)
        if beside:
            anchor = "end" if before else "start"
        else:
            anchor = "end" if x > 0.5 else "start"
            x = x if x > 0.5 else max(x, _NAME)
        text(self._parts, x, y, f" {words} " if beside else words, "mark", anchor)

    def _requests(self, name: str) -> None:
        exchanges = self._run.exchanges
        if len(exchanges) > _FEW:
            ends = [(e.sent, e.received or self._run.over, "") for e in exchanges]
            answers = Counter(map(_outcome, exchanges))
            said = and_([f"{count} times {what}" for what, count in answers.items()])
            self._ticks(ends, f"{len(exchanges)} requests → {said}", CLIENT_WAITS)
            return
        for exchange in exchanges:
            ended = exchange.received or self._run.over
            words = f"{exchange.method} {exchange.path} → {_outcome(exchange)}"
            after = f" after {seconds(ended - exchange.sent)}"
            words += after if len(words + after) <= LONGEST else ""
            looks = "failed" if exchange.error else ""
            self._name(exchange.sent, ended, words)
            self._bar(exchange.sent, ended, CLIENT_WAITS, looks)
            for placed in self._run.queued:
                if placed.process == name and exchange.sent <= placed.time <= ended:
                    self._asked.setdefault(placed.job, self._y + 16)
            self._y += _ROW

    def _queue(self) -> None:
        jobs = list(dict.fromkeys(wait.job for wait in self._waits))
        if len(jobs) > _FEW:
            self._waiting()
            return
        for job in jobs:
            times = []
            for wait in [wait for wait in self._waits if wait.job == job]:
                end = self._run.over if wait.end is None else wait.end
                times.append("on" if wait.end is None else seconds(end - wait.start))
                self._bar(wait.start, end, "", "waits", 4)
            first = next(wait for wait in self._waits if wait.job == job)
            told = ", then ".join(times) if len(times) < 3 else f"{len(times)} times"
            does = "rolled back after" if first.rolled_back else "waits"
            self._name(first.start, first.start, f"{shown(job)} {does} {told}")
            self._rows[job] = self._y + 18
            if job in self._asked:
                placed = min(p.time for p in self._run.queued if p.job == job)
                self._hop(placed, self._asked[job], self._rows[job])
            self._y += _ROW

    def _waiting(self) -> None:
        """How many jobs wait, over time."""
        steps = sorted(
            [(wait.start, 1) for wait in self._waits]
            + [(wait.end, -1) for wait in self._waits if wait.end is not None]
        )
        count, most, points = 0, 0, [(0.0, 0)]
        for time, step in steps:
            count += step
            most = max(most, count)
            points.append((time, count))
        points.append((self._run.over, count))
        words = f"{len({w.job for w in self._waits})} jobs; at most {most} wait at once"
        text(self._parts, 0, self._y + 12, words, "name")
        height = _ROW + 8
        path = f"M0 {height}"
        for (_, before), (time, after) in pairwise(points):
            x = round(1000 * time / self._whole)
            for number in dict.fromkeys((before, after)):
                path += f"L{x} {round(height * (1 - number / most))}"
        path += f"L{round(1000 * self._run.over / self._whole)} {height}Z"
        self._stretched(height, {"bar waits": path})

    def _ran(self, name: str) -> None:
        calls = self._calls(name)
        if len(calls) > _FEW:
            ends = [(c.start, c.end, "torn" if c.torn else "") for c in calls]
            torn = sum(call.torn for call in calls)
            words = f"{len(calls)} jobs" + (f", {torn} cut off" if torn else "")
            self._ticks(ends, words, calls[0].lane)
            return
        for job in dict.fromkeys(call.job for call in calls):
            mine = [call for call in calls if call.job == job]
            first = next(call for call in self._run.calls if call.job == job)
            again = "" if mine[0] is first else " again"
            words = f"{shown(job)}{again} · {outcomes(mine)}"
            self._name(mine[0].start, mine[-1].end, words)
            for call in mine:
                looks = "torn" if call.torn else "failed" if call.error else ""
                self._bar(call.start, call.end, call.lane, looks)
                self._join(call)
            self._y += _ROW

    def _join(self, call: Call) -> None:
        """Lines between a call and the wait before it, and the one after it."""
        if row := self._rows.get(call.job):
            self._hop(call.start, row, self._y + 16)
            if any(w.start == call.end and w.job == call.job for w in self._waits):
                self._hop(call.end, row, self._y + 16, "hop back")

    def _bar(
        self,
        start: float,
        end: float,
        lane: str,
        looks: str = "",
        height: int = _BAR,
    ) -> None:
        shape = {
            "class": " ".join(filter(None, ["bar", css(lane), looks])),
            "x": self._at(start),
            "y": str(self._y + 16),
            "height": str(height),
            "rx": "2",
        }
        short = (end - start) / self._whole < 0.01  # seen however short it is
        width = "3" if short else percent(end - start, self._whole)
        SubElement(self._parts, "rect", {**shape, "width": width})

    def _name(self, start: float, end: float, words: str) -> None:
        """Words above a bar, so that they fit into the figure on a small screen."""
        at = start / self._whole, end / self._whole
        label(self._parts, *at, self._y + 12, words)

    def _hop(self, time: float, above: int, below: int, looks: str = "hop") -> None:
        x = self._at(time)
        at = {"x1": x, "x2": x, "y1": str(above), "y2": str(below)}
        self._parts.insert(0, Element("line", {"class": looks, **at}))  # behind words

    def _ticks(
        self, ends: Sequence[tuple[float, float, str]], words: str, lane: str
    ) -> None:
        """Many bars, below each other where they overlap, without their names."""
        text(self._parts, 0, self._y + 12, words, "name")
        rows: list[float] = []
        paths = defaultdict[str, str](str)
        for start, end, looks in sorted(ends):
            row = next((n for n, until in enumerate(rows) if until <= start), len(rows))
            rows[row : row + 1] = [end]
            x = round(1000 * start / self._whole)
            width = max(2, round(1000 * (end - start) / self._whole))
            paths[looks] += f"M{x} {_TICK * row}h{width}v{_TICK - 1}h-{width}z"
        classes = [" ".join(filter(None, ["bar", css(lane), looks])) for looks in paths]
        self._stretched(
            _TICK * len(rows), dict(zip(classes, paths.values(), strict=True))
        )

    def _stretched(self, height: int, paths: dict[str, str]) -> None:
        """Paths, by how they look, that are as wide as the figure: their width is 1000."""
        frame = {
            "y": str(self._y + 16),
            "width": "100%",
            "height": str(min(height, _ROW + 8)),
            "viewBox": f"0 0 1000 {height}",
            "preserveAspectRatio": "none",
        }
        inner = SubElement(self._parts, "svg", frame)
        for looks, path in paths.items():
            SubElement(inner, "path", {"class": looks, "d": path})
        self._y += 16 + int(frame["height"]) + 4

    def _at(self, time: float) -> str:
        return percent(time, self._whole)


def story(run: Run) -> str:
    """What the figure shows, in at most three sentences."""
    parts = []
    who = _the(re.sub(r" \d+$", "", lanes(run)[0]))
    answers = Counter(f"{e.method} {e.path} with {_outcome(e)}" for e in run.exchanges)
    if len(answers) > 3:
        statuses = Counter(map(_outcome, run.exchanges))
        counts = [f"{count} with {status}" for status, count in statuses.items()]
        parts.append(f"Of {len(run.exchanges)} requests {who} answers {and_(counts)}")
    else:
        parts.append(f"{who} answers {and_(list(answers))}")
    changes = [
        (life.start, f"{_the(life.process)} is started after {seconds(life.start)}")
        for life in run.lives
        if life.start
    ]
    for life in run.lives:
        if life.held is not None:
            told = f"{_the(life.process)} gets Ctrl-S in its terminal "
            changes.append((life.held, told + f"after {seconds(life.held)}"))
        if life.end is not None:
            told = f"{_the(life.process)} gets {life.signal} "
            told += f"after {seconds(life.signalled)}"
            if life.signal != "SIGKILL":
                told += f" and ends after {seconds(life.end)}"
            changes.append((life.signalled, told))
    for f in run.freezes:
        happens = f"has no network to {run.queue}" if f.cut else "is frozen"
        told = f"{_the(f.process)} {happens} for {seconds(f.end - f.start)}"
        changes.append((f.start, told))
    if changes:
        parts.append(and_([words for _, words in sorted(changes)]))
    parts.append(_jobs(run))
    return (
        ". ".join(
            part.replace("the ", "The ", 1) if part.startswith("the ") else part
            for part in parts
        )
        + "."
    )


def _outcome(exchange: Exchange) -> str:
    """What the client got, or what broke an answer that had begun."""
    if not exchange.status:
        return "nothing"
    return exchange.error or str(exchange.status)


def _the(process: str) -> str:
    return f"the {process}" if process in APPS else process


def _jobs(run: Run) -> str:
    attempts = defaultdict[str, list[Call]](list)
    for call in run.calls:
        attempts[call.job].append(call)
    names = list(dict.fromkeys([p.job for p in run.queued] + list(attempts)))
    if len(names) > 3:
        ran = Counter(len(attempts[name]) for name in names)
        words = {0: "run never", 1: "run once", 2: "run twice"}
        counts = [(n, words.get(k, f"run {k} times")) for k, n in sorted(ran.items())]
        failed = "".join(
            f"; {shown(name)} ends with ✕ {end}"
            for name in names
            if attempts[name] and (end := _end(attempts[name][-1]))
        )
        if len(counts) == 1:
            return f"All {len(names)} jobs {counts[0][1]}{failed}"
        parts = [
            f"{n} {how.replace('run', 'runs') if n == 1 else how}" for n, how in counts
        ]
        return f"Of the {len(names)} jobs " + and_(parts) + failed
    told = []
    for name in names:
        runs = []
        for process in dict.fromkeys(call.process for call in attempts[name]):
            mine = [call for call in attempts[name] if call.process == process]
            runs.append(
                f"runs in {_the(process)} from {seconds(mine[0].start)} "
                f"to {seconds(mine[-1].end)} ({outcomes(mine)})"
            )
        back = any(p.rolled_back is not None for p in run.queued if p.job == name)
        none = "is rolled back" if back else "does not run"
        told.append(f"{shown(name)} {', then '.join(runs) or none}")
    return "; ".join(told)


def shown(job: str) -> str:
    """The name of a job, with an id of 32 digits shortened."""
    return re.sub(r"\b([0-9a-f]{4})[0-9a-f]{28}\b", r"\1…", job)


def outcomes(calls: Sequence[Call]) -> str:
    """How attempts at a job ended, one after another, in a few words."""
    if len(calls) == 1:
        took = seconds(calls[0].end - calls[0].start)
        return f"{took} ✕ {_end(calls[0])}" if _end(calls[0]) else took
    parts = []
    for end, group in groupby(calls, key=_end):
        mine = list(group)
        took = seconds(mine[0].end - mine[0].start)
        times = f" {len(mine)} times" if len(mine) > 1 else ""
        parts.append(f"✕ {end}{times}" if end else times.strip() or took)
    return ", then ".join(parts)


def _end(call: Call) -> str:
    return "cut off" if call.torn else call.error or ""
