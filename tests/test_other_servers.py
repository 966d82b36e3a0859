"""The statements of docs/other-servers.md; its table is tested cell by cell."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest
from hypercorn.config import Config

from runner import Server, client
from runner.process import PYTHON, free_port, start, wait_until_it_listens
from tests.copying import changed
from tests.terminal import positions
from tests.what_is_left import TARGET, Cell, Row, cells, signals

WAITS = "examples.other_servers.wait_for_tasks:app"


@contextmanager
def hypercorn(*options: str) -> Iterator[Server]:
    address = f"127.0.0.1:{free_port()}"
    with start((*PYTHON, "hypercorn", "--bind", address, *options, TARGET)) as server:
        wait_until_it_listens(server.url)
        yield server


@contextmanager
def granian(
    *options: str, target: str = TARGET, env: dict[str, str] | None = None
) -> Iterator[Server]:
    command = (*PYTHON, "granian", "--interface", "asgi", "--port", str(free_port()))
    with start((*command, *options, target), env=env) as server:
        wait_until_it_listens(server.url)
        yield server


ROWS = {
    "Hypercorn, `SIGTERM`": Row(hypercorn, signals(SIGTERM)),
    "Hypercorn with `--graceful-timeout 1`, `SIGTERM`": Row(
        partial(hypercorn, "--graceful-timeout", "1"), signals(SIGTERM), 4
    ),
    "Granian, `SIGTERM`": Row(granian, signals(SIGTERM)),
    "Granian, `SIGINT`, which is `Ctrl+C`": Row(granian, signals(SIGINT)),
    "Granian with `--workers-kill-timeout 1`, `SIGTERM`": Row(
        partial(granian, "--workers-kill-timeout", "1"), signals(SIGTERM)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("other-servers"), ids=str)
def test_each_cell_of_the_table(cell: Cell, tmp_path: Path):
    """Each cell of the table: a server of its own, the work begun, the signal sent, and what was printed until the process had ended."""
    cell.check(ROWS[cell.row], tmp_path)


def test_hypercorn_has_a_limit_of_three_seconds():
    """`--graceful-timeout` is three seconds unless you say otherwise; then `async def` tasks are cancelled."""
    assert Config().graceful_timeout == 3


@pytest.mark.slow
def test_a_lifespan_that_waits_keeps_the_tasks_under_granian():
    """With this middleware and lifespan a `SIGTERM` waits for the task, as uvicorn does by itself."""
    with granian(target=WAITS) as server:
        client.post(f"{server.url}/reports/1")
        server.wait_for("build_report: 1 started")
        server.stop()
        done, ended = positions(
            server, "build_report: 1 done", "lifespan: 0 requests still open"
        )
    assert done < ended


@pytest.mark.slow
def test_at_the_limit_of_the_lifespan_the_task_is_lost_and_counted(tmp_path: Path):
    """When the limit is over the server ends, the task is lost, and the log says how many requests were still open."""
    env = changed({}, tmp_path, WAITS, {"LIMIT = 20": "LIMIT = 0.5", "(2)": "(60)"})
    with granian(target="changed:app", env=env) as server:
        client.post(f"{server.url}/reports/1")
        server.wait_for("build_report: 1 started")
        server.stop()
        server.wait_for("lifespan: 1 requests still open")
        assert "build_report: 1 done" not in server.transcript()
