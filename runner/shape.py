"""What a recording says, without its times: two runs of one scene have the same shape."""

import re
from itertools import combinations
from typing import Any

_ID = re.compile(r"\b[0-9a-f]{32}\b")

Shape = tuple[tuple[Any, ...], ...]


def shape(recording: dict[str, Any]) -> Shape:
    """Lanes, order, overlap, errors, printed lines, and what ends after which response.

    Two functions overlap if the shorter ran for more than half of its time beside
    the longer. One of less than ten milliseconds overlaps with none.
    An id of 32 hexadecimal digits is the same as any other.
    """
    requests, tasks = recording["requests"], recording["tasks"]
    return (
        tuple((r["method"], r["path"], r["status"], r["error"]) for r in requests),
        tuple(
            (
                t["function"],
                t["lane"],
                t["error"],
                tuple(_ends_after(t, r["handed_over"]) for r in requests),
            )
            for t in tasks
        ),
        tuple(_overlap(a, b) for a, b in combinations(tasks, 2)),
        tuple(_ID.sub("id", line["text"]) for line in recording["printed"]),
    )


def _ends_after(task: dict[str, Any], moment: float) -> bool:
    """At the same tenth of a millisecond, what is open has closed, what ran has started."""
    return bool(task["end"] > moment if task["open"] else task["end"] >= moment)


def _overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    shorter = min(a["end"] - a["start"], b["end"] - b["start"])
    both = min(a["end"], b["end"]) - max(a["start"], b["start"])
    return bool(shorter >= 0.01 and both > shorter / 2)
