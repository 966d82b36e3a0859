"""An HTTP server of a test's own: what the examples call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

S = TypeVar("S", bound=ThreadingHTTPServer)


class Silent(BaseHTTPRequestHandler):
    """Answers, and prints nothing, nor of a client that was killed meanwhile."""

    def handle(self) -> None:
        """Answer until the client leaves, however it does."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def listening(server: S) -> Iterator[S]:
    """Let it answer, in threads, until the end of the block."""
    with server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
