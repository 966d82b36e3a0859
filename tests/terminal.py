"""Reads what a server, or a process that is none, has printed."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runner import Server


@contextmanager
def python(
    file: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a file with ``python``; at the end of the block it is killed."""
    command = [sys.executable, file]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def positions(server: Server, *texts: str) -> list[int]:
    """Where in the server's terminal the first lines that hold these texts are, once they are there."""
    found = [server.wait_for(re.escape(text)) for text in texts]
    lines = server.lines
    return [lines.index(line) for line in found]


def stop_and_read(server: Server, *beginnings: str) -> list[str]:
    """Stop the server when its tasks have ended; what it printed of what begins so."""
    server.stop()
    return [line.text for line in server.lines if line.text.startswith(beginnings)]
