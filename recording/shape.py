"""What a run says, without its times: two runs of one scene have the same shape.

The shape is lanes, order, overlap, errors, printed lines, and what ends after which response.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from recording.model import Call, Exchange, Run

_ID = re.compile(r"\b[0-9a-f]{32}\b")
_IN = {"thread pool": "in the thread pool", "worker process": "in a worker process"}

_WAITS = 0.1
"""Seconds. What takes longer waits for something, and takes about as long on any machine."""


def differences(now: Run, kept: Run, varies: Sequence[str] = ()) -> list[str]:
    """What has another shape now than in the kept run, a sentence each; empty: nothing.

    Of several processes: what they were sent, and who had which job in which order, and
    how that ended. Of jobs that are named in `varies` chance decides how often they run.
    Of one process:

    Two functions overlap if the shorter ran for more than half of its time beside
    the longer. Only functions that wait are asked: how long the others take, and beside
    what, is up to the machine. A busy machine makes a function slow that waits for nothing,
    so it is the kept run that says which ones wait.
    An id of 32 hexadecimal digits is the same as any other.
    """
    if kept.lives or now.lives:
        return [
            *_order(_requests(now), _requests(kept), "is sent"),
            *_answers(now, kept),
            *_order(_changes(now), _changes(kept), "happens"),
            *_attempts(now, kept, varies),
        ]
    return [
        *_order(_requests(now), _requests(kept), "is sent"),
        *_order(_names(now), _names(kept), "starts"),
        *_each(now, kept),
        *_order(_texts(now), _texts(kept), "is printed"),
    ]


def _each(now: Run, kept: Run) -> Iterator[str]:
    """What is different of exchanges and calls that are in both runs."""
    yield from _answers(now, kept)
    before = dict(zip(_names(kept), kept.calls, strict=True))
    calls = zip(_names(now), now.calls, strict=True)
    common = [(name, call, before[name]) for name, call in calls if name in before]
    for name, call, was in common:
        if call.lane != was.lane:
            yield f"{name} runs {_where(call)}, was {_where(was)}"
        if call.error != was.error:
            yield f"{name} {_end(call)}, {_end(was)} before"
        for ours, other in zip(now.exchanges, kept.exchanges, strict=False):
            if ours.left or _by_chance(was, other):
                continue
            if _at_the_same_tick(call, ours) and _near(was, other):
                continue
            after = _ends_after(call, ours.handed_over)
            if after != _ends_after(was, other.handed_over):
                words = ("after", "before") if after else ("before", "after")
                yield (
                    f"{name} ends {words[0]} the response to {ours.method} {ours.path} "
                    f"is handed over, was {words[1]}"
                )
    waiting = [each for each in common if each[2].end - each[2].start >= _WAITS]
    for (name, a, was_a), (other_name, b, was_b) in combinations(waiting, 2):
        if (both := _overlap(a, b)) != _overlap(was_a, was_b):
            words = ("overlap", "did not") if both else ("do not overlap", "did")
            yield f"{name} and {other_name} {words[0]}, {words[1]} before"


def _answers(now: Run, kept: Run) -> Iterator[str]:
    answers = dict(zip(_requests(kept), map(_answer, kept.exchanges), strict=True))
    for request, exchange in zip(_requests(now), now.exchanges, strict=True):
        if (answer := answers.get(request)) not in (None, _answer(exchange)):
            yield f"{request} is answered with {_answer(exchange)}, was with {answer}"


def _changes(run: Run) -> list[str]:
    """What was done to the processes, in order: the starts, signals, freezes and Ctrl-S."""
    moments = [(life.start, f"the start of {life.process}") for life in run.lives]
    moments += [
        (life.signalled, f"{life.signal} to {life.process}")
        for life in run.lives
        if life.signal
    ]
    moments += [
        (f.start, f"{'cutting the network of' if f.cut else 'freezing'} {f.process}")
        for f in run.freezes
    ]
    moments += [
        (life.held, f"Ctrl-S to {life.process}")
        for life in run.lives
        if life.held is not None
    ]
    return _labels([words for _, words in sorted(moments)])


def _attempts(now: Run, kept: Run, varies: Sequence[str]) -> Iterator[str]:
    """Of each job: who had it how often, between which changes, and how that ended."""
    ours, theirs = _jobs(now), _jobs(kept)
    yield from _order(list(ours), list(theirs), "runs")
    for job in ours.keys() & theirs.keys():
        attempts, were = ours[job], theirs[job]
        if job in varies:
            attempts, were = sorted({*attempts}), sorted({*were})
        if attempts != were:
            yield f"{job} {', then '.join(attempts)}; before, it {', then '.join(were)}"


def _jobs(run: Run) -> dict[str, list[str]]:
    ends = [life for life in run.lives if life.signal]
    jobs: dict[str, list[str]] = {
        _ID.sub("id", job): []
        for job in sorted(
            {*(call.job for call in run.calls), *_waiting_at_the_end(run)}
        )
    }
    for call in run.calls:
        told = f"runs in {call.process} ({call.lane})"
        for life in ends:
            if life.process != call.process and life.signalled < call.start:
                told += f" after {life.signal} to {life.process}"
        told += " and is cut off" if call.torn else f" and {_end(call)}"
        jobs[_ID.sub("id", call.job)].append(told)
    back = {placed.job for placed in run.queued if placed.rolled_back is not None}
    for job in _waiting_at_the_end(run):
        told = "is rolled back" if job in back else "waits"
        jobs[_ID.sub("id", job)].append(told)
    return jobs


def _waiting_at_the_end(run: Run) -> set[str]:
    """Jobs that nobody has taken."""
    return {placed.job for placed in run.queued} - {call.job for call in run.calls}


def _order(now: Sequence[str], kept: Sequence[str], verb: str) -> Iterator[str]:
    """What is new, what is missing, and the first that comes at another place."""
    new = [name for name in now if name not in kept]
    missing = [name for name in kept if name not in now]
    yield from (f"{name} {verb}, was not there before" for name in new)
    yield from (f"{name} is missing" for name in missing)
    ours = [name for name in now if name in kept]
    theirs = [name for name in kept if name in now]
    for first, was_first in zip(ours, theirs, strict=True):
        if first != was_first:
            yield f"{first} {verb} before {was_first}, was after it"
            break


def _requests(run: Run) -> list[str]:
    return _labels([f"{e.method} {e.path}" for e in run.exchanges])


def _names(run: Run) -> list[str]:
    return _labels([call.function for call in run.calls])


def _texts(run: Run) -> list[str]:
    return _labels([f"the line {_ID.sub('id', p.text)!r}" for p in run.printed])


def _labels(names: Sequence[str]) -> list[str]:
    """The names, with a number where one comes more than once."""
    seen = Counter[str]()
    labels = []
    for name in names:
        seen[name] += 1
        labels.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    return labels


def _answer(exchange: Exchange) -> str:
    return " and ".join(str(x) for x in (exchange.status, exchange.error) if x)


def _where(call: Call) -> str:
    return _IN.get(call.lane, f"on the {call.lane}")


def _end(call: Call) -> str:
    return f"fails with {call.error}" if call.error else "ends well"


def _ends_after(call: Call, moment: float | None) -> bool:
    """At the same tenth of a millisecond, what is open has closed, what ran has started."""
    if moment is None:
        return False
    return call.end > moment if call.open else call.end >= moment


def _at_the_same_tick(call: Call, exchange: Exchange) -> bool:
    """Whether no clock tells which was first: WebKit's has milliseconds."""
    return not call.open and call.end == exchange.handed_over


def _by_chance(call: Call, exchange: Exchange) -> bool:
    """Whether a call of an earlier request ended at about the time of this response."""
    return _near(call, exchange) and call.start < exchange.sent


def _near(call: Call, exchange: Exchange) -> bool:
    """Whether it ended at about the time of this response."""
    moment = exchange.handed_over
    return moment is not None and abs(call.end - moment) < _WAITS


def _overlap(a: Call, b: Call) -> bool:
    shorter = min(a.end - a.start, b.end - b.start)
    both = min(a.end, b.end) - max(a.start, b.start)
    return both > shorter / 2
