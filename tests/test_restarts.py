"""The statements of docs/restarts.md; its table is tested cell by cell."""

import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import httpx
import pytest
from fastapi.testclient import TestClient
from uvicorn.importer import import_from_string

from runner import Server, client, new_client, serve
from runner.needs import NEEDS, start_worker
from runner.process import PYTHON, ROOT, start
from tests.copying import changed, save_until, with_changes
from tests.orders import ask_until, place
from tests.services import settings_of
from tests.terminal import positions
from tests.what_is_left import (
    ask_gunicorn_once_more,
    gunicorn,
    what_became_of_it,
    worker_of,
)

TARGET = "examples.restarts.what_is_left:app"
HALTED = "Shutting down|Waiting for application shutdown"


def reload_of(folder: Path, *options: str) -> AbstractContextManager[Server]:
    """Run ``uvicorn --reload`` on a copy that may be changed."""
    shutil.copy(ROOT / "examples/restarts/what_is_left.py", folder / "main.py")
    command = [sys.executable, "-m", "uvicorn", "main:app", "--reload", "--port", "0"]
    return start([*command, *options], cwd=folder)


def signals(*numbers: Signals) -> Callable[[Server, Path], None]:
    """Send the first, the others when it has been noticed; wait for the end."""

    def stop(server: Server, _: Path) -> None:
        server.process.send_signal(numbers[0])
        for number in numbers[1:]:
            server.wait_for(HALTED)
            server.process.send_signal(number)
        server.wait()

    return stop


def change_the_file(server: Server, folder: Path) -> None:
    """Change the file until it is noticed, and wait for the new server."""
    save_until(server, "Reloading", folder / "main.py")
    server.wait_for("Application startup complete", nth=2)


def kill_the_worker(server: Server, _: Path) -> None:
    """Kill the worker at work, and wait for the one that takes its place.

    If it is killed while uvicorn waits for its answer, uvicorn waits to the end, 20 seconds.
    """
    os.kill(worker_of(server), SIGKILL)
    server.wait_for("Started server process", nth=3, timeout=60)


def ask_once_more(server: Server, _: Path) -> None:
    """Send the request after which the server ends by itself, and wait for the end."""
    client.get(f"{server.url}/openapi.json")
    server.wait()


@dataclass(frozen=True)
class Row:
    """How the server is started and stopped, and how long the work takes."""

    start: Callable[..., AbstractContextManager[Server]]
    stop: Callable[[Server, Path], None]
    seconds: float = 0.5
    workers: int = 1
    needs_folder: bool = False


uvicorn = partial(serve, TARGET)
limited = partial(uvicorn, "--timeout-graceful-shutdown", "1")
ROWS = {
    "`SIGTERM`": Row(uvicorn, signals(SIGTERM)),
    "`SIGTERM` twice": Row(uvicorn, signals(SIGTERM, SIGTERM)),
    "`SIGINT`, which is `Ctrl+C`": Row(uvicorn, signals(SIGINT)),
    "`SIGINT` twice": Row(uvicorn, signals(SIGINT, SIGINT)),
    "`SIGKILL`": Row(uvicorn, signals(SIGKILL)),
    "`SIGTERM` with `--timeout-graceful-shutdown 1`": Row(limited, signals(SIGTERM)),
    "`SIGINT` with `--timeout-graceful-shutdown 1`": Row(limited, signals(SIGINT), 2.5),
    "`--reload`, and a file is changed": Row(
        reload_of, change_the_file, 2, needs_folder=True
    ),
    "`--workers 2`, `SIGTERM` to the first process": Row(
        partial(uvicorn, "--workers", "2"), signals(SIGTERM), 1, workers=2
    ),
    "`--workers 2`, `SIGKILL` to the worker": Row(
        partial(uvicorn, "--workers", "2"), kill_the_worker, workers=2
    ),
    "`--limit-max-requests 2`, and the second request": Row(
        partial(uvicorn, "--limit-max-requests", "2"), ask_once_more
    ),
    "gunicorn, `SIGTERM`": Row(gunicorn, signals(SIGTERM)),
    "gunicorn with `--graceful-timeout 1`, `SIGTERM`": Row(
        partial(gunicorn, "--graceful-timeout", "1"), signals(SIGTERM)
    ),
    "gunicorn with `--max-requests 2`, and the second request": Row(
        partial(gunicorn, "--max-requests", "2"), ask_gunicorn_once_more
    ),
}


PAGE = ROOT / "docs/restarts.md"


def cells() -> list[tuple[str, str, str]]:
    """The row, the column and the text of each cell of the page's table."""
    page = PAGE.read_text()
    table = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    columns = ["def", "async-def", "create-task"]
    assert [re.sub(r"\W+", "-", name).strip("-") for name in table[0][1:4]] == [
        "def-task",
        "async-def-task",
        "create_task",
    ]
    return [
        (row[0], column, text)
        for row in table[1:]
        for column, text in zip(columns, row[1:4], strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "column", "text"), cells())
def test_each_cell_of_the_table(row: str, column: str, text: str, tmp_path: Path):
    """Each cell of the table: a server of its own, the work begun, the signal sent, and what was printed until the process had ended."""
    how = ROWS[row]
    with how.start(tmp_path) if how.needs_folder else how.start() as server:
        server.expect("CancelledError|graceful shutdown exceeded|was sent SIGKILL")
        server.wait_for("Application startup complete", nth=how.workers)
        seconds = how.seconds if text == "done" else 30  # not by a hair
        client.post(f"{server.url}/{column}/{seconds}")
        worker_of(server)
        how.stop(server, tmp_path)
        found = what_became_of_it(server)
    assert found == text, (
        f"docs/restarts.md:{line_of(row)}: {column} is {found}: say that"
    )


def line_of(row: str) -> int:
    """The line of the page in which that row of the table is, counted from 1."""
    lines = PAGE.read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.startswith(f"| {row} |"))


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
    """After `SIGTERM` the port is closed at once, while the task still runs: whoever connects then is refused."""
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


def test_reload_waits_for_the_task_and_nobody_answers_meanwhile(tmp_path: Path):
    """With `--reload` the new server starts when the old one's tasks have ended. A request that comes in between waits for both."""
    with reload_of(tmp_path) as server:
        client.post(f"{server.url}/async-def/5")
        server.wait_for("work: started")
        with ThreadPoolExecutor(1) as thread:
            changed = thread.submit(change_the_file, server, tmp_path)
            server.wait_for("Shutting down")
            answer = client.get(f"{server.url}/openapi.json", timeout=60)
            changed.result()
        server.wait_for("GET /openapi.json")
        done, started, answered = positions(
            server, "work: done", "Started server process", "GET /openapi.json"
        )
    assert answer.status_code == 200
    assert started < done < answered


@pytest.mark.slow
@pytest.mark.parametrize("limit", [(), ("--timeout-graceful-shutdown", "1")])
def test_a_reload_waits_for_the_tasks_unless_it_has_a_limit(
    limit: tuple[str, ...], tmp_path: Path
):
    """With `--reload` a changed file starts no new server while a task runs: the old one says `Waiting for background tasks to complete. (CTRL+C to force quit)`. With `--timeout-graceful-shutdown 1` it cancels the task, and the new one starts."""
    with reload_of(tmp_path, *limit) as server:
        server.expect("timeout graceful shutdown exceeded")
        client.post(f"{server.url}/async-def/{60 if limit else 5}")
        server.wait_for("work: started")
        change_the_file(server, tmp_path)
        waits, ended, started = (
            server.wait_for(text, nth=nth).time
            for text, nth in (
                (r"Waiting for background tasks to complete\. \(CTRL\+C to force", 1),
                ("work: ended", 1),
                ("Application startup complete", 2),
            )
        )
        assert waits <= ended <= started
        assert ("work: done" in server.transcript()) == (not limit)


def developed(queue: str, folder: Path) -> dict[str, str]:
    """A copy of the queue's example, `changed.py`, in a folder of its own; the settings for it."""
    target = f"examples.{queue}.receipts:app"
    return changed(settings_of(target, folder), folder, target, {})


def edit(folder: Path) -> Path:
    """Have the job say `sent` where it said `done`; the changed file."""
    file = folder / "changed.py"
    file.write_text(with_changes(file.read_text(), {"} done": "} sent"}))
    return file


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("queue", ["celery", "arq"])
def test_watchfiles_restarts_a_worker_when_the_code_changes(queue: str, tmp_path: Path):
    """`watchfiles 'celery --app main.queue worker' .`, and the same with arq's command: a file is saved, the worker is started again, and the next job runs the new code."""
    env = developed(queue, tmp_path)
    command = shlex.join((*PYTHON, *NEEDS[queue].worker))
    needs = replace(NEEDS[queue], worker=("watchfiles", command, str(tmp_path)))
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs, "changed", env) as worker,
    ):
        place(app, 1)
        worker.wait_for("order 1 done")
        save_until(worker, "Warm shutdown|shutdown on SIGINT", edit(tmp_path))
        place(app, 2)
        worker.wait_for("order 2 sent")


@pytest.mark.slow
@pytest.mark.queues
def test_arq_with_watch_starts_again_with_the_old_code(tmp_path: Path):
    """`arq --watch .` prints `files changed, reloading arq worker...`, and the next job runs the old code: the module is not imported again."""
    env = developed("arq", tmp_path)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["arq"], "changed", env, "--watch", str(tmp_path)) as worker,
    ):
        save_until(worker, "files changed, reloading arq worker", edit(tmp_path))
        worker.wait_for("Starting worker", nth=2)
        place(app, 1)
        worker.wait_for("order 1 (done|sent)")
        assert "order 1 done" in worker.transcript()


@pytest.mark.slow
@pytest.mark.queues
def test_rq_runs_the_new_code_without_a_restart(tmp_path: Path):
    """An RQ worker imports the module in the process of each job: the next job runs the new code, and nothing is started again."""
    env = developed("rq", tmp_path)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["rq"], "changed", env) as worker,
    ):
        place(app, 1)
        worker.wait_for("order 1 done")
        edit(tmp_path)
        place(app, 2)
        worker.wait_for("order 2 sent")


@pytest.mark.slow
@pytest.mark.long
def test_with_workers_one_that_has_had_its_requests_is_replaced():
    """`--limit-max-requests` ends the process. Alone, nobody starts it again; with `--workers 2` uvicorn starts another worker."""
    alone = (*PYTHON, "uvicorn", TARGET, "--port", "0", "--limit-max-requests", "1")
    with start(alone) as server:
        client.get(f"{server.url}/openapi.json")
        assert server.wait() == 0
    with serve(TARGET, "--workers", "2", "--limit-max-requests", "1") as server:
        client.get(f"{server.url}/openapi.json")
        server.wait_for("Application startup complete", nth=3, timeout=60)
        assert client.get(f"{server.url}/openapi.json").status_code == 200


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_worker_is_replaced_and_a_killed_child_of_reload_is_not(
    tmp_path: Path,
):
    """The process that answers is killed, as it is when memory is short. With `--workers 2` uvicorn starts another. With `--reload` nobody does: uvicorn goes on, the container stays up, and nobody answers until a file is changed."""
    with serve(TARGET, "--workers", "2") as server:
        client.post(f"{server.url}/async-def/60")
        kill_the_worker(server, tmp_path)
        server.wait_for("Application startup complete", nth=3)
        assert client.get(f"{server.url}/openapi.json").status_code == 200
    with reload_of(tmp_path) as server:
        client.post(f"{server.url}/async-def/60")
        os.kill(worker_of(server), SIGKILL)
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/openapi.json", timeout=5)
        assert server.process.poll() is None
        change_the_file(server, tmp_path)
        server.wait_for("Application startup complete", nth=2)


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
