"""A function as AWS Lambda runs it: by Lambda's own runtime client, frozen between events.

What stands in for the platform is its Runtime API: it hands the client one event after
another, and stops its process with SIGSTOP whenever it asks for one and there is none.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from importlib.util import find_spec
from queue import Empty, Queue
from signal import SIGCONT
from threading import Event
from typing import Any

import pytest

from runner import Server
from runner.process import PATIENCE, PYTHON, freeze, start
from tests.listening import Silent, listening

NO_LOOP = "mangum/adapter.py:[0-9]+: DeprecationWarning: There is no current event loop"
"""What Mangum has Python 3.12 and 3.13 say when it looks for one, and makes its own."""


@dataclass(frozen=True)
class Answer:
    """How one invocation ended: as a success with that answer, or as an error."""

    succeeded: bool
    content: dict[str, Any]
    seconds: float
    """From the event to its answer."""


class Function:
    """A deployed function: its process, and what its caller sees."""

    process: Server

    def __init__(self, freezes: bool) -> None:
        self._freezes = freezes
        self._events: Queue[dict[str, Any]] = Queue()
        self._answers: Queue[tuple[bool, dict[str, Any]]] = Queue()
        self._asked = Event()

    def invoke(self, method: str, path: str) -> Answer:
        """What API Gateway gets for a request; the process is frozen before and after."""
        self.wait_until_frozen()
        self._asked.clear()
        sent = time.monotonic()
        self._events.put(_event(method, path))
        self.process.process.send_signal(SIGCONT)
        succeeded, content = self._answers.get(timeout=PATIENCE)
        return Answer(succeeded, content, time.monotonic() - sent)

    def wait_until_frozen(self) -> None:
        """Until it has asked for an event where there is none."""
        assert self._asked.wait(PATIENCE), "the function asks for no event"

    def remove(self) -> None:
        """Kill it once it has asked for the next event: all that it printed has been read."""
        self.wait_until_frozen()
        self.process.kill()

    def next_event(self) -> dict[str, Any]:
        """For the runtime client, whose process stands still until there is one."""
        try:
            return self._events.get_nowait()
        except Empty:
            if self._freezes:
                freeze(self.process.process.pid)
            self._asked.set()
            return self._events.get()

    def answer(self, succeeded: bool, content: dict[str, Any]) -> None:
        """From the runtime client: how the invocation ended."""
        self._answers.put((succeeded, content))


def _event(method: str, path: str) -> dict[str, Any]:
    """What API Gateway's HTTP API makes of a request, as short as can be: payload 2.0."""
    request = {"method": method, "path": path, "sourceIp": "127.0.0.1"}
    return {"version": "2.0", "requestContext": {"http": request}}


@contextmanager
def deployed(
    handler: str, *, freezes: bool = True, env: Mapping[str, str] | None = None
) -> Iterator[Function]:
    """Run a handler, such as ``examples.serverless.behind_mangum.handler``."""
    if find_spec("awslambdaric") is None:
        pytest.skip("needs awslambdaric, which has wheels for Linux only")
    function = Function(freezes)

    class RuntimeAPI(Silent):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            event = json.dumps(function.next_event()).encode()
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "1")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(1e13)))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn")
            self.send_header("Lambda-Runtime-Trace-Id", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(event)))
            self.end_headers()
            self.wfile.write(event)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            function.answer(self.path.endswith("/response"), json.loads(body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(ThreadingHTTPServer(("127.0.0.1", 0), RuntimeAPI)) as api:
        command = (*PYTHON, "awslambdaric", handler)
        address = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_port}"}
        env = {**address, **(env or {})}
        with start(command, env=env, ready=None) as process:
            function.process = process
            process.expect(NO_LOOP)
            yield function
