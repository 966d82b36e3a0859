"""Starts processes quickly, and ends them whatever becomes of the one that asked.

The nursery is one child process of that one. It imports what most examples need, which is
most of what a start costs, and then follows the orders on its standard input, a socket: to
fork itself and be ``python -m MODULE``, or to start any other command. When its input
closes, whatever closed it, it sends SIGKILL to the group of each process that still runs.
Several processes may `share` the imports: then the nursery of each is forked from one.

Each process leads a group and a session of its own. What a forked one finds is what one
started by hand finds, but for the modules that are imported already, and its command line
as the system lists it.
"""

import atexit
import gc
import importlib
import json
import os
import pwd
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

FORKED = ("uvicorn", "gunicorn", "taskiq", "procrastinate", "runner.watched")
"""The modules that are forked rather than started anew."""

_IMPORTED = (
    "uvicorn.main",
    "gunicorn.app.wsgiapp",
    "uvicorn_worker",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "fastapi",
    "pydantic.v1",  # which FastAPI imports for its first endpoint
    "sqlalchemy.ext.asyncio",
    "aiosqlite",
    "httpx",
    "dbos",
    "procrastinate.cli",
    "taskiq.cli.scheduler.cmd",
    "taskiq.cli.worker.cmd",
    "taskiq_aio_pika",
    "taskiq_fastapi",
    "opentelemetry.sdk.trace.export",
)
WARNINGS = "default::ResourceWarning,default::DeprecationWarning"
"""PYTHONWARNINGS of what is tested, to hear what Python else keeps to itself.

The nursery has it too: what it imports adds filters that come before these.
"""

_HONOURED = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"}
"""Python's own variables that a forked process follows; any other has it started anew."""

_AT_THE_START = {"sitecustomize", "usercustomize"}
"""What Python imports at its start where a folder of PYTHONPATH has it."""


class Process:
    """A process that the nursery has started and will end, if nobody else does."""

    def __init__(
        self,
        command: Sequence[str],
        output: int,
        *,
        cwd: Path,
        env: Mapping[str, str],
        user: str | None = None,
        fork: bool = True,
    ) -> None:
        """Run the command in the folder `cwd`, with only `env` in its environment.

        What it prints goes to the descriptor `output`, a terminal if it is forked. It
        runs as `user`, if one is named. ``PYTHON -m MODULE …`` with a module of `FORKED`
        is forked, if `fork` does not forbid it, and no folder of PYTHONPATH has what the
        nursery has imported from elsewhere. A command that is not there ends with 127, as
        in a shell.
        """
        module = ""
        if fork and tuple(command[:2]) == (sys.executable, "-m"):
            asked = {name for name in env if name.startswith("PYTHON")}
            if env.get("PYTHONWARNINGS") == WARNINGS:
                asked.remove("PYTHONWARNINGS")
            module = command[2] if asked <= _HONOURED else ""
        order = {
            "module": module if module in FORKED else "",
            "command": list(command),
            "cwd": str(cwd),
            "env": dict(env),
            "user": user,
        }
        self._status, theirs = socket.socketpair()
        self._told = self._status.makefile()
        with theirs:
            _nursery(os.getpid()).send(order, output, theirs.fileno())
        self._code: int | None = None
        self._one_at_a_time = threading.Lock()
        pid = self._told.readline()
        if not pid:
            raise RuntimeError("the nursery has ended")
        self.pid = int(pid)

    def send_signal(self, sent: signal.Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # ended this moment
                os.kill(self.pid, sent)

    def kill_group(self) -> None:
        """Send SIGKILL to the process and all of its group that are left."""
        _kill_group(self.pid, signal.SIGKILL)

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code, or minus the signal that ended it.

        Raises `subprocess.TimeoutExpired` if it still runs after `timeout` seconds.
        """
        if self._code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired([], timeout or 0)
            with self._one_at_a_time:
                if self._code is None:
                    self._code = int(self._told.readline() or -signal.SIGKILL)
        return self._code

    def __del__(self) -> None:
        """Close what the nursery told; not sooner, since several threads may wait."""
        self._told.close()
        self._status.close()


class Shared:
    """A nursery from which others are forked, those of the processes that are told `address`."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(dir="/tmp")  # the address is short
        self.address = f"{self._folder.name}/nursery"
        self._input, theirs = socket.socketpair()
        with theirs, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            self._process = _start(theirs, listener)

    def end(self) -> None:
        """End it, and not those that were forked from it: they end with their owners."""
        self._input.close()
        self._process.wait()
        self._folder.cleanup()


shared_at = ""
"""The address of the nursery that this process's own is to be forked from, if any."""


class _Nursery:
    """The owner's side: starts the nursery, and gives it orders."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._process = None
        if shared_at:
            self._input = socket.socket(socket.AF_UNIX)
            self._input.connect(shared_at)
        else:
            self._input, theirs = socket.socketpair()
            with theirs:
                self._process = _start(theirs)
        atexit.register(self._end)

    def _end(self) -> None:
        self._input.close()
        if self._process:
            self._process.wait()

    def send(self, order: dict[str, Any], *descriptors: int) -> None:
        words = json.dumps(order).encode()
        with self._one_at_a_time:
            length = len(words).to_bytes(4, "big")
            socket.send_fds(self._input, [length], list(descriptors))
            self._input.sendall(words)


def _start(
    orders: socket.socket, listener: socket.socket | None = None
) -> subprocess.Popen[bytes]:
    """Start a nursery with this input, which may have a socket where others are asked for."""
    numbers = [listener.fileno()] if listener else []
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, numbers)],
        stdin=orders.fileno(),
        stdout=subprocess.DEVNULL,
        pass_fds=numbers,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        | {"PYTHONWARNINGS": WARNINGS},
        start_new_session=True,  # Ctrl-C in the owner's terminal is not for it
    )


@cache
def _nursery(_owner: int) -> _Nursery:
    """That of this process; a forked one has one of its own."""
    return _Nursery()


def main() -> None:
    """Be the nursery, or in a forked process what was ordered."""
    path = sys.path[1:]  # without this file's folder
    own = socket.socket(fileno=os.dup(0))
    gc.disable()  # a fifth of the time
    for module in _IMPORTED:
        importlib.import_module(module)
    ThreadPoolExecutor._counter = count().__next__  # type: ignore[attr-defined] # DBOS has one
    gc.enable()
    gc.collect()  # once, or each forked process would look through it all
    orders = (
        _forked_for_each(socket.socket(fileno=int(sys.argv[1])), own)
        if sys.argv[1:]
        else own
    )
    if orders and (order := _follow_orders(orders)):
        _become(order, path)


def _forked_for_each(
    listener: socket.socket, until: socket.socket
) -> socket.socket | None:
    """Fork a nursery for each that connects, until that input ends. In one, return its input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they have ended
    with listener, until:
        while until not in select.select([listener, until], [], [])[0]:
            orders, _ = listener.accept()
            if not os.fork():
                os.setsid()
                os.dup2(orders.fileno(), 0)
                return orders
            orders.close()
    return None


def _follow_orders(orders: socket.socket) -> dict[str, Any] | None:
    """Fork on order until the input ends. In a forked process, return its order."""
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno())
    running: dict[int, socket.socket] = {}
    left: set[int] = set()
    while True:
        ready, _, _ = select.select([orders, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            for pid in [pid for pid in running if _has_ended(pid, running[pid])]:
                running.pop(pid).close()
                if _kill_group(pid, 0):
                    left.add(pid)
        if orders not in ready:
            continue
        length, descriptors, _, _ = socket.recv_fds(orders, 4, 2)
        if not length:
            break
        words = orders.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
        output, status = descriptors
        if pid := os.fork():
            os.close(output)
            running[pid] = socket.socket(fileno=status)
            running[pid].sendall(b"%d\n" % pid)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(output, 1)
        for one in (orders, wake, waker, *running.values()):
            one.close()
        os.close(output)
        os.close(status)
        order: dict[str, Any] = json.loads(words)
        return order
    for group in left.union(running):
        _kill_group(group, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for one in (orders, wake, waker, *running.values()):
        one.close()
    return None


def _has_ended(pid: int, status: socket.socket) -> bool:
    """Whether the process has; if so its owner is told how."""
    ended, code = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return False
    with suppress(BrokenPipeError):  # the owner does not ask any more
        status.sendall(b"%d\n" % os.waitstatus_to_exitcode(code))
    return True


def _kill_group(group: int, sent: int) -> bool:
    """Send a signal to a process group; whether there is anybody in it."""
    try:
        os.killpg(group, sent)
    except ProcessLookupError:
        return False
    return True


def _become(order: dict[str, Any], path: list[str]) -> None:
    """Be what was ordered, as if started by hand in that folder and environment."""
    os.setsid()
    os.chdir(order["cwd"])
    os.dup2(1, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if order["user"]:
        user = pwd.getpwnam(order["user"])
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    command, env = order["command"], order["env"]
    folders = [folder for folder in env.get("PYTHONPATH", "").split(":") if folder]
    if not order["module"] or _has_imported_from_elsewhere(folders):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores these two
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            os.execvpe(command[0], command, env)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
            os._exit(127)
    os.environ.clear()
    os.environ.update(env)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # a terminal
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    sys.path[:] = [order["cwd"], *folders, *path]
    sys.argv[:] = ["-m", *command[3:]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


def _has_imported_from_elsewhere(folders: Sequence[str]) -> bool:
    """Whether one of the folders has a module that is imported, or would have been."""
    names = {
        name.partition(".")[0]
        for folder in folders
        if os.path.isdir(folder)
        for name in os.listdir(folder)
    }
    return not names.isdisjoint({*sys.modules, *_AT_THE_START})


if __name__ == "__main__":
    main()
