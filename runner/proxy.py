"""A TCP proxy that can be cut: the connections stay open, and nothing gets through."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class Proxy:
    """Forwards to a port of this machine while `open` is set."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.open = threading.Event()
        self.open.set()
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self._sockets = [self._listening]
        self._forgotten: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listening.accept()
                self.open.wait()
                far = socket.create_connection(("127.0.0.1", self.target))
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                if source not in self._forgotten:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nothing through until the end of the block."""
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    def forget(self) -> None:
        """Let nothing more through what is connected; it stays open. Others may connect."""
        self._forgotten.update(self._sockets)

    def reset(self) -> None:
        """Close what is connected. Others may connect."""
        self._close(self._sockets[1:])

    def close(self) -> None:
        """Close all connections, and accept no other."""
        self._close(self._sockets)

    def _close(self, sockets: list[socket.socket]) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):  # closed at its other end
                one.shutdown(socket.SHUT_RDWR)  # or who waits for it would go on
            one.close()


@contextlib.contextmanager
def proxy(target: int, port: int = 0) -> Iterator[Proxy]:
    """A proxy in front of the server at the port `target`; at `port`, or a free one."""
    between = Proxy(target, port)
    try:
        yield between
    finally:
        between.close()
