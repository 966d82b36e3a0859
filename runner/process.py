"""A server process: its address, its printed lines with their times, its end."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM, Signals
from typing import TextIO

import psutil

from runner.complaints import complaints
from runner.nursery import WARNINGS, Process

ROOT = Path(__file__).parent.parent

START_TIMEOUT = 120.0
"""Seconds that a server may take until it answers."""

PATIENCE = 60.0
"""Seconds that one waits for what a server will do at once on an idle machine."""

PYTHON = (sys.executable, "-m")
"""The beginning of a command that runs a module."""

COLOUR = re.compile(r"\x1b\[[\d;]*m")
"""What a terminal takes as an order to change its colour."""

_BEGIN, _END = 3, 5
"""Lines of a complaint that are shown."""

_NAMED = re.compile(r"(?:\S+: )?((?:\w+\.)*[A-Z]\w+)(?:: |$)")
"""A line with the class of an exception or of a warning."""

_STARTED = "Application startup complete"
_ADDRESS = r"(?:[Rr]unning on|Serving on|Listening at:) (http://[\w.]+:\d+)"


FAILURES = r"Traceback|ERROR|CRITICAL"
"""What is expected of a process whose failures are told in another way: all but warnings."""


FORKED = r"multi-threaded, use of fork\(\)"
"""What Python 3.12 and newer warn of where a process with threads forks."""


class ServerError(AssertionError):
    """A server did not start, did not print what was waited for, or did not stop."""


@dataclass(frozen=True)
class Line:
    """One line that a server printed, to standard output or standard error."""

    time: float
    """When it was read, in seconds on the clock of `time.monotonic`."""
    text: str


class Server:
    """A running server process and everything it has printed so far."""

    def __init__(self, process: Process, output: TextIO) -> None:
        self.process = process
        self._output = output
        self.url = ""
        self._lines: list[Line] = []
        self._expected: set[int] = set()
        """The indices of the lines that somebody has waited for."""
        self._may_print: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._output as output, suppress(OSError):  # a terminal's end
            for text in output:
                line = Line(time.monotonic(), COLOUR.sub("", text.rstrip("\n")))
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of its `url`, for a socket."""
        return _address(self.url)

    @property
    def lines(self) -> list[Line]:
        """What the server has printed so far, oldest first."""
        with self._news:
            return list(self._lines)

    def wait_for(
        self,
        pattern: str,
        *,
        nth: int = 1,
        start: int = 0,
        timeout: float | None = None,
        shown: str = "",
    ) -> Line:
        """Return the line in which the regular expression is found first, or the `nth` time.

        Several processes may share a line: a pattern that is found twice in it counts
        twice. Lines before index `start` of `lines` do not count. Raises `ServerError`
        with what was printed instead if there is none within `timeout` seconds, by default
        `PATIENCE`, or sooner if the process ends; what was waited for is told there as `shown`, or else
        as the pattern.
        """
        timeout = PATIENCE if timeout is None else timeout
        deadline = time.monotonic() + timeout
        seen = start
        with self._news:
            while True:
                for number, line in enumerate(self._lines[seen:], seen):
                    if found := re.findall(pattern, line.text):
                        self._expected.add(number)
                    nth -= len(found)
                    if nth <= 0:
                        return line
                seen = max(start, len(self._lines))
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = (
                        "the process ended" if self._ended else f"{timeout:g} s passed"
                    )
                    what = f"{shown or repr(pattern)}{' next' if start else ''}"
                    raise ServerError(
                        f"{why}, and it has not printed {what}, but\n"
                        f"{self.transcript(start)}"
                    )
                self._news.wait(left)

    def transcript(self, start: int = 0) -> str:
        """All that it has printed, from index `start` of `lines` on, indented."""
        lines = self._lines[start:]
        return "\n".join(f"  {line.text}" for line in lines) or "  (nothing)"

    def expect(self, pattern: str) -> None:
        """Say that it may print complaints in which the regular expression is found.

        One of which `wait_for` has found a line is expected without that, and so are
        others of its class: how many there are may be chance.
        """
        self._may_print.append(pattern)

    def check(self) -> None:
        """Raise `ServerError` with each complaint that it has printed, and nobody expected.

        To be called when it has ended.
        """
        self._reader.join(2)  # longer if another process has its terminal
        lines = [line.text for line in self.lines]
        found = [(each, lines[each.start : each.stop]) for each in complaints(lines)]
        waited_for = {
            _kind(told) for each, told in found if not self._expected.isdisjoint(each)
        }
        unexpected = []
        for _, told in found:
            said = any(re.search(each, "\n".join(told)) for each in self._may_print)
            if not said and _kind(told) not in waited_for:
                told[_BEGIN:-_END] = ["  …"] if len(told) > _BEGIN + _END else []
                unexpected += told
        if unexpected:
            raise ServerError(
                "nobody expected that it prints\n" + "\n".join(unexpected)
            )

    def stop(self, signal: Signals = SIGTERM, *, timeout: float = PATIENCE) -> int:
        """Send a signal to the process, wait for its end, return its exit code.

        Raises `ServerError` if the process still runs after `timeout` seconds.
        """
        self.process.send_signal(signal)
        return self.wait(timeout)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The process gets no time at all until the end of the block; its children do."""
        with frozen([self.process.pid]):
            yield

    def press_ctrl_s(self) -> None:
        """Do so in its terminal: what it prints waits from now on, and so does who prints."""
        os.write(self._output.fileno(), b"\x13")

    def kill(self) -> None:
        """Send SIGKILL to the process and all that it has started; wait for their end."""
        kill_tree(self.process.pid)
        self.wait()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end of the process and of what it prints, return its exit code.

        Raises `ServerError` if the process still runs after `timeout` seconds.
        """
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerError(
                f"still running after {timeout} s:\n{self.transcript()}"
            ) from None
        self._reader.join(timeout)
        return code


@contextmanager
def serve(
    target: str,
    *options: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run ``uvicorn TARGET OPTIONS`` on a free port of this machine.

    The HTTP parser is the one that uvicorn brings, unless `options` name another.
    `target` is what uvicorn takes, such as ``examples.multiple_tasks.in_order:app``;
    it is imported from `cwd`. `env` is added to this process's environment.
    The block starts when the server answers; at its end the process, and every
    process that it started, is gone. Raises `ServerError` if the server does
    not answer within `START_TIMEOUT` seconds, or complains as in `start`.
    """
    if "--workers" in options:  # uvicorn kills one that does not answer it for 5 s
        options = ("--timeout-worker-healthcheck", "20", *options)
    command = (*PYTHON, "uvicorn", target, "--port", "0", "--http", "h11", *options)
    with start(command, cwd=cwd, env=env) as server:
        yield server


def kill_tree(pid: int, *, children_only: bool = False) -> None:
    """Send SIGKILL to a process and all that it has started, also in other groups.

    With `children_only` the process itself is spared.
    """
    processes = tree(pid)
    for one in processes[children_only:]:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(processes[1:], timeout=10)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, also in other groups. Empty if it has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to notice its end does not."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return False
    return status not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """These processes get no time at all from the beginning of the block to its end.

    Those that end meanwhile, or have ended, are passed over.
    """
    stopped = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                stopped.append(pid)
                freeze(pid)
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, SIGCONT)


def freeze(pid: int) -> None:
    """Send SIGSTOP to a process, and return when all its threads stand still.

    On a busy machine they may do something more after the signal was sent. Raises
    `ProcessLookupError` if there is no such process.
    """
    os.kill(pid, SIGSTOP)
    deadline = time.monotonic() + PATIENCE
    while not _stands_still(pid):
        if time.monotonic() > deadline:
            raise ServerError(f"process {pid} does not stand still")
        time.sleep(0.001)


def _stands_still(pid: int) -> bool:
    try:
        threads = psutil.Process(pid).threads() if psutil.LINUX else []
        ids = [pid, *(thread.id for thread in threads)]
        states = {psutil.Process(one).status() for one in ids}
    except psutil.NoSuchProcess:  # a thread that has ended, or all of it
        return not psutil.pid_exists(pid)
    return states <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}


def free_port() -> int:
    """A port that nobody listens on, for a command that cannot choose one itself.

    It is none of those that the system gives to whoever asks for any port. On Linux no
    other process that calls this gets it as long as this one lives, so that a server that
    takes a while to start, or is killed and started again, finds it free.
    """
    while True:
        port = secrets.choice(range(20_000, 32_000))
        with suppress(OSError), socket.socket(socket.AF_UNIX) as name:
            if sys.platform == "linux":
                name.bind(f"\0after-the-response/port/{port}")
            socket.create_server(("127.0.0.1", port)).close()
            name.detach()  # so it is open, and the name taken, to this process's end
            return port


@contextmanager
def start(
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    ready: str | None = _ADDRESS,
    fork: bool = True,
) -> Iterator[Server]:
    """Run a command until the end of the block, as `serve` does with uvicorn.

    `ready` is a regular expression that is found in what it prints when it is ready.
    Its group, if it has one, is the address; by default that is what a server says.
    With None the block begins at once. Of uvicorn with ``--workers`` all have started.
    ``python -m`` with a module that `runner.nursery` has imported is forked from there,
    unless `fork` is false.
    At the end of a block that has not failed raises `ServerError` if the process has
    printed a warning, an error or a traceback that nobody has waited for or expected.
    """
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    surroundings |= {"NO_COLOR": "1", "PYTHONWARNINGS": WARNINGS, **(env or {})}
    read, write = _terminal()
    try:
        process = Process(command, write, cwd=cwd, env=surroundings, fork=fork)
    finally:
        os.close(write)
    try:
        output = open(read, errors="replace")  # noqa: SIM115 - its reader closes it
        server = Server(process, output)
        if ready is not None:
            shown = "its address" if ready == _ADDRESS else ""
            line = server.wait_for(ready, timeout=START_TIMEOUT, shown=shown)
            if found := re.search(ready, line.text):
                server.url = "".join(found.groups())
        if server.url and "--workers" in command and "--reload" not in command:
            number = int(command[command.index("--workers") + 1])
            server.wait_for(_STARTED, nth=number, timeout=START_TIMEOUT)
        if server.url and {"--workers", "--reload"} & {*command}:
            wait_until_it_listens(server.url)
        yield server
    finally:
        process.kill_group()
        process.wait()
    server.check()


def _kind(complaint: list[str]) -> str:
    """The last exception or warning that is named in it, or its first line."""
    named = [found[1] for line in complaint if (found := _NAMED.match(line))]
    return named[-1] if named else complaint[0]


def _terminal() -> tuple[int, int]:
    """What a process prints to, as a reader's does: our end, and its own.

    On a terminal Python writes line by line, so that lines of several threads or
    processes stay whole. What it writes is passed on as it is.
    """
    ours, its = os.openpty()
    settings = termios.tcgetattr(its)
    settings[1] &= ~termios.OPOST  # or each line would end with two characters
    termios.tcsetattr(its, termios.TCSANOW, settings)
    return ours, its


def complete(
    command: Sequence[str], *, env: Mapping[str, str], timeout: float = 60
) -> None:
    """Run a command to its end.

    Raises `ServerError` with what it printed if it ends with another code than 0, or
    not within `timeout` seconds.
    """
    with start(command, env=env, ready=None) as once:
        if code := once.wait(timeout):
            raise ServerError(f"ended with {code}:\n{once.transcript()}")


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def wait_until_it_listens(url: str) -> None:
    """Wait until somebody listens at that address.

    With ``--workers`` and ``--reload`` it is printed before a worker does. Raises
    `ServerError` if nobody does within `START_TIMEOUT` seconds.
    """
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(_address(url)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise ServerError(f"nobody listens at {url}") from None
            time.sleep(0.01)
