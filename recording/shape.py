"""What a run says, without its times: two runs of one scene have the same shape."""

import re
from itertools import combinations
from typing import Any

from recording.model import Call, Run

_ID = re.compile(r"\b[0-9a-f]{32}\b")

Shape = tuple[tuple[Any, ...], ...]


_WAITS = 0.1
"""Seconds. What takes longer waits for something, and takes about as long on any machine."""


def shape(run: Run, kept: Run | None = None) -> Shape:
    """Lanes, order, overlap, errors, printed lines, and what ends after which response.

    Two functions overlap if the shorter ran for more than half of its time beside
    the longer. Only functions that wait are asked: how long the others take, and beside
    what, is up to the machine. A busy machine makes a function slow that waits for nothing,
    so it is the kept run, if there is one, that says which ones wait.
    An id of 32 hexadecimal digits is the same as any other.
    """
    exchanges, calls = run.exchanges, run.calls
    wait = [call.end - call.start >= _WAITS for call in (kept or run).calls]
    waiting = [call for call, waits in zip(calls, wait, strict=False) if waits]
    return (
        tuple((e.method, e.path, e.status, e.error) for e in exchanges),
        tuple(
            (
                call.function,
                call.lane,
                call.error,
                tuple(_ends_after(call, e.handed_over) for e in exchanges),
            )
            for call in calls
        ),
        tuple(_overlap(a, b) for a, b in combinations(waiting, 2)),
        tuple(_ID.sub("id", line.text) for line in run.printed),
    )


def _ends_after(call: Call, moment: float | None) -> bool:
    """At the same tenth of a millisecond, what is open has closed, what ran has started."""
    if moment is None:
        return False
    return call.end > moment if call.open else call.end >= moment


def _overlap(a: Call, b: Call) -> bool:
    shorter = min(a.end - a.start, b.end - b.start)
    both = min(a.end, b.end) - max(a.start, b.start)
    return both > shorter / 2
