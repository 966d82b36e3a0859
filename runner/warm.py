"""Starts servers from a process that has imported what they need already.

Importing it is most of what a start costs, and the tests start hundreds of servers.
A server is still a process of its own that runs uvicorn's command line: it is forked
from `multiprocessing`'s fork server, which does nothing but import and fork.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context, reduction, set_start_method
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import Signals
from typing import Any, TextIO

_fork_server = get_context("forkserver")
_fork_server.set_forkserver_preload(
    [
        "uvicorn.main",
        "fastapi",
        "runner.observed",
        "sqlalchemy.ext.asyncio",
        "aiosqlite",
        "httpx",
        "dbos",
        "procrastinate.cli",
        "taskiq.__main__",
        "taskiq.cli.worker.run",
        "taskiq_aio_pika",
        "taskiq_fastapi",
        "opentelemetry.sdk.trace.export",
    ]
)


class WarmProcess:
    """A forked process, with the part of `subprocess.Popen` that a `Server` uses."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
    ) -> None:
        """Run the module's ``main`` with the arguments, in the folder `cwd`, with only `env`."""
        read, write = os.pipe()
        self.stdout: TextIO = open(read)  # noqa: SIM115 - its reader closes it
        output: Any = reduction.DupFd(write)
        self._process: BaseProcess = _fork_server.Process(
            target=_run, args=(module, list(arguments), str(cwd), dict(env), output)
        )
        self._process.start()
        os.close(write)
        assert self._process.pid
        self.pid = self._process.pid

    def send_signal(self, signal: Signals) -> None:
        """Send a signal to the process, unless it has ended."""
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):  # ended this moment
                os.kill(self.pid, signal)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit code, or minus the signal that ended it."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired([], timeout or 0)
        return code


def _run(
    module: str, arguments: list[str], cwd: str, env: dict[str, str], output: Any
) -> None:
    project = str(Path(__file__).parent.parent)
    os.setsid()
    os.chdir(cwd)
    ours = ["", project, *os.environ.get("PYTHONPATH", "").split(":")]
    os.environ.clear()
    os.environ.update(env)
    null, out = os.open(os.devnull, os.O_RDONLY), output.detach()
    for descriptor, standard in ((null, 0), (out, 1), (out, 2)):
        os.dup2(descriptor, standard)
    os.close(out)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    first = [cwd, *filter(None, env.get("PYTHONPATH", "").split(":"))]
    sys.path[:] = [*first, *(path for path in sys.path if path not in ours)]
    sys.argv[:] = [module, *arguments]
    set_start_method(None, force=True)  # Python's own, not that of this process
    import_module(module).main()
