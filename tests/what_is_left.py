"""`examples/restarts/what_is_left.py` under gunicorn, and what became of its work."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from runner import Server, client
from runner.process import free_port, start


def gunicorn(
    *options: str,
    target: str = "examples.restarts.what_is_left:app",
    worker: str = "uvicorn_worker.UvicornWorker",
    env: dict[str, str] | None = None,
) -> AbstractContextManager[Server]:
    """Run gunicorn with uvicorn's worker class, or another."""
    command = [sys.executable, "-m", "gunicorn", "-k", worker]
    command += ["--no-control-socket", "--bind", f"127.0.0.1:{free_port()}"]
    return start([*command, *options, target], env=env)


def worker_of(server: Server) -> int:
    """The process in which the work was started."""
    return int(server.wait_for("work: started in process").text.split()[-1])


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
