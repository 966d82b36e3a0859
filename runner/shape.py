"""What a recording says, without its times: two runs of one scene have the same shape."""

from itertools import combinations
from typing import Any

Shape = tuple[tuple[Any, ...], ...]


def shape(recording: dict[str, Any]) -> Shape:
    """Lanes, order, overlap, errors, printed lines, and what ends after which response.

    Two functions overlap if the shorter ran for more than half of its time beside
    the longer. One of less than a millisecond overlaps with none.
    """
    requests, tasks = recording["requests"], recording["tasks"]
    return (
        tuple((r["method"], r["path"], r["status"], r["error"]) for r in requests),
        tuple(
            (
                t["function"],
                t["lane"],
                t["error"],
                tuple(t["end"] >= r["handed_over"] for r in requests),
            )
            for t in tasks
        ),
        tuple(_overlap(a, b) for a, b in combinations(tasks, 2)),
        tuple(line["text"] for line in recording["printed"]),
    )


def _overlap(a: dict[str, Any], b: dict[str, Any]) -> bool:
    shorter = min(a["end"] - a["start"], b["end"] - b["start"])
    both = min(a["end"], b["end"]) - max(a["start"], b["start"])
    return bool(shorter >= 0.001 and both > shorter / 2)
