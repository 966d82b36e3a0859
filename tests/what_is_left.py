"""`examples/restarts/what_is_left.py`, stopped in many ways, and what became of its work.

Tables of it stand on several pages, with a row for each way.
"""

import re
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import Signals

from runner import Server, client, serve
from runner.process import ROOT, free_port, start
from tests.copying import save_until

_HALTED = "Shutting down|Waiting for application shutdown"
TARGET = "examples.restarts.what_is_left:app"
_COLUMNS = {
    "`def` task": "def",
    "`async def` task": "async-def",
    "`create_task`": "create-task",
}

uvicorn = partial(serve, TARGET)
two_workers = partial(uvicorn, "--workers", "2")


def gunicorn(
    *options: str,
    target: str = TARGET,
    worker: str = "uvicorn_worker.UvicornWorker",
    env: dict[str, str] | None = None,
) -> AbstractContextManager[Server]:
    """Run gunicorn with uvicorn's worker class, or another."""
    command = [sys.executable, "-m", "gunicorn", "-k", worker]
    command += ["--no-control-socket", "--bind", f"127.0.0.1:{free_port()}"]
    return start([*command, *options, target], env=env)


def on_a_copy(folder: Path, *options: str) -> AbstractContextManager[Server]:
    """Run uvicorn with options, such as ``--reload``, on a copy that may be changed."""
    shutil.copy(ROOT / "examples/restarts/what_is_left.py", folder / "main.py")
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", "0"]
    return start([*command, *options], cwd=folder)


def worker_of(server: Server) -> int:
    """The process in which the work was started."""
    return int(server.wait_for("work: started in process").text.split()[-1])


def change_the_file(server: Server, folder: Path) -> None:
    """Change the file until it is noticed, and wait for the new server."""
    save_until(server, "Reloading", folder / "main.py")
    server.wait_for("Application startup complete", nth=2)


def signals(*numbers: Signals) -> Callable[[Server, Path], None]:
    """Send the first, the others when it has been noticed; wait for the end."""

    def stop(server: Server, _: Path) -> None:
        server.process.send_signal(numbers[0])
        for number in numbers[1:]:
            server.wait_for(_HALTED)
            server.process.send_signal(number)
        server.wait()

    return stop


def ask_gunicorn_once_more(server: Server, _: Path) -> None:
    """Send the request after which the worker ends, and wait for the one in its place."""
    client.get(f"{server.url}/openapi.json")
    server.wait_for("Application startup complete", nth=2)


def what_became_of_it(server: Server) -> str:
    """``done``, ``cancelled`` or ``lost``, as in the table of the page *Deploys*."""
    said = "".join(x.text for x in server.lines)  # processes may share a line
    return (
        "done"
        if "work: done" in said
        else "cancelled"
        if "work: ended" in said
        else "lost"
    )


@dataclass(frozen=True)
class Row:
    """How the server is started and stopped, and how long the work takes."""

    start: Callable[..., AbstractContextManager[Server]]
    stop: Callable[[Server, Path], None]
    seconds: float = 0.5
    needs_folder: bool = False


@dataclass(frozen=True)
class Cell:
    """What a page's table says of one kind of work in one row."""

    page: str
    row: str
    column: str
    text: str

    def __str__(self) -> str:
        return f"{self.row}-{self.column}"

    def check(self, how: Row, folder: Path) -> None:
        """Raise `AssertionError` with the page's line if something else becomes of the work."""
        with how.start(folder) if how.needs_folder else how.start() as server:
            server.expect("CancelledError|graceful shutdown exceeded|was sent SIGKILL")
            seconds = how.seconds if self.text == "done" else 30  # not by a hair
            client.post(f"{server.url}/{self.column}/{seconds}")
            worker_of(server)
            how.stop(server, folder)
            found = what_became_of_it(server)
        assert found == self.text, (
            f"docs/{self.page}.md:{self._line()}: {self.column} is {found}: say that"
        )

    def _line(self) -> int:
        """The line of the page in which the row is, counted from 1."""
        lines = (ROOT / f"docs/{self.page}.md").read_text().splitlines()
        return next(
            n for n, x in enumerate(lines, 1) if x.startswith(f"| {self.row} |")
        )


def cells(page: str) -> list[Cell]:
    """The cells of the page's table of what becomes of the work."""
    lines = (ROOT / f"docs/{page}.md").read_text().splitlines()
    table = [
        re.split(r"\s*\|\s*", line.strip("| ")) for line in lines if line[:2] == "| "
    ]
    columns = [_COLUMNS[name] for name in table[0][1:]]
    return [
        Cell(page, row[0], column, text)
        for row in table[1:]
        for column, text in zip(columns, row[1:], strict=True)
    ]
