"""A Sentry of the test's own: it takes what the SDK sends, and sends nothing on."""

import gzip
import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from tests.listening import Silent, listening


class Sentry:
    """What has been sent so far."""

    def __init__(self, dsn: str, received: "queue.Queue[tuple[str, Any]]") -> None:
        self.env = {"SENTRY_DSN": dsn}
        """What an example finds in its environment."""
        self._received = received

    def next(self, kind: str) -> dict[str, Any]:
        """The next item of this kind, such as ``event``; others before it are dropped."""
        while True:
            type_, item = self._received.get(timeout=60)
            if type_ == kind:
                found: dict[str, Any] = item
                return found


@contextmanager
def a_sentry() -> Iterator[Sentry]:
    """Run it until the end of the block."""
    received: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Handler(Silent):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            _, *lines = gzip.decompress(body).splitlines()
            for head, item in zip(lines[::2], lines[1::2], strict=True):
                received.put((json.loads(head)["type"], json.loads(item)))
            self.send_response(200)
            self.end_headers()

    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield Sentry(f"http://key@127.0.0.1:{server.server_port}/1", received)
