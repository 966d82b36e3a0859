"""What a recording says, without its times: two runs of one scene have the same shape."""

from itertools import combinations
from typing import Any

Shape = tuple[tuple[Any, ...], ...]


def shape(recording: dict[str, Any]) -> Shape:
    """Lanes, order, overlap, errors, and which bar ends after which response.

    Two bars overlap if they have more than a tenth of the whole scene in common, and
    more than 50 ms: what is shorter differs from run to run.
    """
    requests, tasks = recording["requests"], recording["tasks"]
    bars = [*requests, *tasks]
    whole = max(_end(bar) for bar in bars)
    return (
        tuple((r["method"], r["path"], r["status"]) for r in requests),
        tuple(
            (
                t["function"],
                t["lane"],
                t["error"],
                tuple(t["end"] >= r["handed_over"] for r in requests),
            )
            for t in tasks
        ),
        tuple(
            min(_end(a), _end(b)) - max(_start(a), _start(b)) > max(whole / 10, 0.05)
            for a, b in combinations(bars, 2)
        ),
        tuple(line["text"] for line in recording["printed"]),
    )


def _start(bar: dict[str, Any]) -> float:
    start: float = bar["sent"] if "sent" in bar else bar["start"]
    return start


def _end(bar: dict[str, Any]) -> float:
    end: float = bar["received"] if "received" in bar else bar["end"]
    return end
