"""The statements of docs/restarts.md; its table is tested cell by cell."""

import os
import socket
import sys
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import httpx
import pytest
from fastapi.testclient import TestClient
from uvicorn.importer import import_from_string

from runner import Server, client, new_client, serve
from runner.process import start
from tests.orders import ask_until
from tests.terminal import positions
from tests.what_is_left import (
    Cell,
    Row,
    cells,
    signals,
    uvicorn,
    what_became_of_it,
)

TARGET = "examples.restarts.what_is_left:app"


def ask_once_more(server: Server, _: Path) -> None:
    """Send the request after which the server ends by itself, and wait for the end."""
    client.get(f"{server.url}/openapi.json")
    server.wait()


limited = partial(uvicorn, "--timeout-graceful-shutdown", "1")
ROWS = {
    "`SIGTERM`": Row(uvicorn, signals(SIGTERM)),
    "`SIGTERM` twice": Row(uvicorn, signals(SIGTERM, SIGTERM)),
    "`SIGINT`, which is `Ctrl+C`": Row(uvicorn, signals(SIGINT)),
    "`SIGINT` twice": Row(uvicorn, signals(SIGINT, SIGINT)),
    "`SIGKILL`": Row(uvicorn, signals(SIGKILL)),
    "`SIGTERM` with `--timeout-graceful-shutdown 1`": Row(limited, signals(SIGTERM)),
    "`SIGINT` with `--timeout-graceful-shutdown 1`": Row(limited, signals(SIGINT), 2.5),
    "`--limit-max-requests 2`, and the second request": Row(
        partial(uvicorn, "--limit-max-requests", "2"), ask_once_more
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("restarts"), ids=str)
def test_each_cell_of_the_table(cell: Cell, tmp_path: Path):
    """Each cell of the table: a server of its own, the work begun, the signal sent, and what was printed until the process had ended."""
    cell.check(ROWS[cell.row], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [SIGTERM, SIGINT])
def test_a_task_that_is_told_ends_where_it_is(sent: Signals):
    """Told by the signal, the task ends at its next step and says where it was; uvicorn waits for that and stops as always."""
    with serve("examples.restarts.told:app") as server:
        client.post(f"{server.url}/imports")
        server.wait_for("import_pages: page 2")
        server.stop(sent)
        printed = server.transcript()
    told = printed.index("import_pages: goes on at page")
    assert told < printed.index("Application shutdown complete")


def test_in_a_test_there_is_nobody_to_tell():
    """In a `TestClient`, where no server listens for signals, the lifespan begins as well."""
    with TestClient(import_from_string("examples.restarts.told:app")) as app:
        assert app.get("/openapi.json").status_code == 200


def test_the_port_is_closed_while_tasks_still_run():
    """After `SIGTERM` a single process closes its port while the task still runs: who connects then is refused."""
    with serve(TARGET) as server:
        client.post(f"{server.url}/async-def/30")
        server.wait_for("work: started")
        server.process.send_signal(SIGTERM)
        server.wait_for("Shutting down")
        while True:
            try:
                client.get(f"{server.url}/openapi.json")
            except httpx.TransportError:
                break
        assert "work: ended" not in server.transcript()


@pytest.mark.slow
def test_a_stop_closes_kept_connections_that_are_idle():
    """A connection that a proxy keeps is closed by the signal if it is idle, though a task still runs. A request that is sent on it at that moment has no answer."""
    with serve(TARGET) as server, new_client() as kept:
        kept.post(f"{server.url}/def/30")
        stream = kept.get(f"{server.url}/openapi.json").extensions["network_stream"]
        connection = stream.get_extra_info("socket")
        connection.settimeout(30)
        server.process.send_signal(SIGTERM)
        assert connection.recv(1) == b""
        assert "work: done" not in server.transcript()


@pytest.mark.slow
def test_the_lifespan_ends_unless_the_server_is_forced_or_killed():
    """The lifespan ends after the tasks; after a second `SIGINT` it is skipped."""
    for numbers in ([SIGINT], [SIGINT, SIGINT]):
        with uvicorn() as server:
            server.expect("CancelledError")
            client.post(f"{server.url}/def/2")
            signals(*numbers)(server, Path())
            said = [line.text for line in server.lines]
        assert ("lifespan: ended" in said) == (len(numbers) == 1)


@pytest.mark.slow
def test_at_the_limit_the_lifespan_ends_while_a_def_task_still_works():
    """At the limit of `--timeout-graceful-shutdown` the lifespan ends while a `def` task still works, and closes under it what it opened."""
    with limited() as server:
        server.expect("graceful shutdown exceeded")
        client.post(f"{server.url}/def/2.5")
        server.stop(SIGINT)  # which waits for the thread
        closed, done = positions(server, "lifespan: ended", "work: done")
    assert closed < done


def test_a_grace_period_shorter_than_the_task_loses_it_and_the_lifespan():
    """`SIGTERM`, and `SIGKILL` when the platform's patience ends: the task is lost, and the lifespan does not end."""
    with uvicorn() as server:
        client.post(f"{server.url}/async-def/30")
        server.process.send_signal(SIGTERM)
        server.wait_for("Waiting for background tasks to complete")
        server.stop(SIGKILL)
        assert what_became_of_it(server) == "lost"
        assert not any("lifespan: ended" in line.text for line in server.lines)


@pytest.mark.slow
def test_a_running_task_counts_for_limit_concurrency():
    """`--limit-concurrency` counts a request until its tasks have ended: with a limit of two and two tasks at work the third request gets `503`, though no client waits."""
    with uvicorn("--limit-concurrency", "2") as server:
        for _ in range(2):
            client.post(f"{server.url}/async-def/2")
        refused = client.get(f"{server.url}/openapi.json")
        server.wait_for("work: done", nth=2)
        client.get(f"{server.url}/openapi.json")  # the server has had its time
        answered = client.get(f"{server.url}/openapi.json")
    assert refused.status_code == 503
    assert answered.status_code == 200


def test_an_idle_connection_counts_for_limit_concurrency():
    """It counts open connections too, idle ones as well: with a limit of two, one that a client or proxy keeps open makes the next request a `503`."""
    with uvicorn("--limit-concurrency", "2") as server:
        url = f"{server.url}/openapi.json"
        with socket.create_connection(server.address):
            ask_until(lambda: client.get(url).status_code, lambda s: s == 503, 30)
        ask_until(lambda: client.get(url).status_code, lambda s: s == 200, 30)


def test_the_wrapper_tells_what_runs_and_how_long_the_longest_took():
    """The wrapper counts what runs and keeps the longest time of each task."""
    with serve("examples.restarts.how_long:app") as server:
        client.post(f"{server.url}/reports/1")
        during = client.get(f"{server.url}/tasks").json()
        server.wait_for("build_report: done")
        client.post(f"{server.url}/reports/0.1")
        server.wait_for("build_report: done", nth=2)
        after = ask_until(  # the line comes before the count
            lambda: client.get(f"{server.url}/tasks").json(),
            lambda now: now["running"] == {"build_report": 0},
            timeout=30,
        )
    assert during == {"running": {"build_report": 1}, "longest": {}}
    assert after["longest"]["build_report"] >= 1


def test_a_shell_in_front_of_the_server_keeps_the_signal():
    """`sh -c "uvicorn …; …"` does not pass `SIGTERM` on: the server, which was never asked, goes on until it is killed."""
    served = f"{sys.executable} -m uvicorn {TARGET} --port 0; echo never"
    with start(["sh", "-c", served]) as server:
        worker = int(server.wait_for("Started server process").text.split("[")[1][:-1])
        server.process.send_signal(SIGTERM)
        server.process.wait(30)
        assert client.get(f"{server.url}/openapi.json").status_code == 200
        assert not any("Shutting down" in line.text for line in server.lines)
        os.kill(worker, SIGKILL)
