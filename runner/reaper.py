"""Kills the servers of a process that died before it could stop them.

Runs as a process of its own and reads one order per line from standard input:
``+PGID`` to watch a process group, ``-PGID`` to forget it. When the input
ends, whatever ended it, every group still watched gets SIGKILL.
"""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
from functools import cache


def main() -> None:
    """Follow the orders on standard input until it ends, then kill what is left."""
    watched: set[int] = set()
    for order in sys.stdin:
        group = int(order[1:])
        if order[0] == "+":
            watched.add(group)
        else:
            watched.discard(group)
    for group in watched:
        kill_group(group)


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


@cache
def _reaper(_owner: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C in the owner's terminal must not reach it
    )
    atexit.register(process.communicate)  # ends its input, and waits for it
    return process


def _order(sign: str, group: int) -> None:
    pipe = _reaper(os.getpid()).stdin
    assert pipe is not None
    pipe.write(f"{sign}{group}\n")
    pipe.flush()


def watch(group: int) -> None:
    """Have the process group killed if this process dies without `forget`."""
    _order("+", group)


def forget(group: int) -> None:
    """Take back `watch`."""
    _order("-", group)


if __name__ == "__main__":
    main()
