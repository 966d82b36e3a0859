"""What a Python program prints when something is wrong: warnings, logged errors, tracebacks."""

import re
from collections.abc import Iterator, Sequence

_WARNING = re.compile(
    r"\S*: RuntimeWarning: "
    # not at the end of Python, where all is left open, and folders are removed
    r"|(?!sys:1|<sys>:0)\S*: ResourceWarning: (?!Implicitly cleaning up)"
    r"|(?!.*/\.cache/)\S*: (?:Pending)?DeprecationWarning: "  # not of a queue's old ones
)
_ERROR = re.compile(
    r"(?!.*Application (?:startup|shutdown) failed)"  # follows a traceback
    r"(?:.*[\s\[])?(?:ERROR|CRITICAL)\b(?!=)"
)
_TRACEBACK = re.compile(r"\s*(?:\S+:\s+)?Traceback \(most recent call last\):")
_GROUP = re.compile(r"[\s|]*\+ Exception Group Traceback \(most recent call last\):")
_END_OF_GROUP = re.compile(r"[\s|]*\+-+$")
_HEADING = re.compile(r"(?!INFO|DEBUG|\s|$)")
_CHAINED = re.compile(r"During handling of|The above exception was")
_MOST = 8
"""Lines of an exception's message that one looks for the next of a chain in."""


def complaints(lines: Sequence[str]) -> Iterator[range]:
    """Where in what a program has printed each complaint is: its heading and tracebacks.

    A traceback that is cut off, of a program that was killed meanwhile, is none.
    """
    number = 0
    while number < len(lines):
        start = number
        if _TRACEBACK.match(lines[number]):
            while start and lines[start - 1].startswith(("future: ", "task: ")):
                start -= 1
            start -= start > 0 and bool(_HEADING.match(lines[start - 1]))
        elif not (_WARNING.match(lines[number]) or _ERROR.match(lines[number])):
            number += 1
            continue
        end = _end(lines, number)
        if end is None:
            return
        yield range(start, end)
        number = end


def _end(lines: Sequence[str], number: int) -> int | None:
    """The line after the complaint that begins in line `number`; None if it is cut off."""
    if lines[number].startswith("["):  # as Celery and Dramatiq log, for many lines
        ends = (n for n in range(number + 1, len(lines)) if lines[n].startswith("["))
        return next(ends, len(lines))
    in_a_traceback, in_a_group = bool(_TRACEBACK.match(lines[number])), False
    number += 1
    while number < len(lines):
        line = lines[number]
        if in_a_traceback:
            in_a_traceback = not line or line.startswith(" ")
        elif _TRACEBACK.match(line):
            in_a_traceback = True
        elif not line.startswith((" ", "future: ", "task: ")):
            chained = next(
                (
                    n
                    for n in range(number, min(number + _MOST, len(lines)))
                    if _CHAINED.match(lines[n])
                ),
                None,
            )
            if chained is None:
                return number
            number = chained + 1
        elif _GROUP.match(line):
            in_a_group = True
        elif in_a_group:
            in_a_group = not _END_OF_GROUP.match(line)
        number += 1
    return None if in_a_traceback or in_a_group else number
