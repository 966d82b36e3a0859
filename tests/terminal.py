"""Reads what a server has printed."""

from runner import Server


def order(server: Server, *texts: str) -> list[int]:
    """Where in the server's terminal the first lines that hold these texts are."""
    lines = [line.text for line in server.lines]
    return [next(i for i, line in enumerate(lines) if text in line) for text in texts]


def story(server: Server, *beginnings: str) -> list[str]:
    """Stop the server when its tasks have ended; what it printed of what begins so."""
    server.stop()
    return [line.text for line in server.lines if line.text.startswith(beginnings)]
