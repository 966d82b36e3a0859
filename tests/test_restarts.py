"""The statements of docs/restarts.md; its table is tested cell by cell."""

import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from gunicorn.config import Config
from uvicorn.importer import import_from_string

from runner import Server, client, new_client, serve
from runner.process import PYTHON, ROOT, free_port, start
from tests.copying import changed, save_until
from tests.orders import ask_until
from tests.terminal import positions

TARGET = "examples.restarts.what_is_left:app"
STREAM = "examples.testing.news:app"
HALTED = "Shutting down|Waiting for application shutdown"


def reload_of(folder: Path, *options: str) -> AbstractContextManager[Server]:
    """Run ``uvicorn --reload`` on a copy that may be changed."""
    shutil.copy(ROOT / "examples/restarts/what_is_left.py", folder / "main.py")
    command = [sys.executable, "-m", "uvicorn", "main:app", "--reload", "--port", "0"]
    return start([*command, *options], cwd=folder)


def gunicorn(
    *options: str, target: str = TARGET, env: dict[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Run gunicorn with uvicorn's worker."""
    command = [sys.executable, "-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker"]
    command += ["--no-control-socket", "--bind", f"127.0.0.1:{free_port()}"]
    return start([*command, *options, target], env=env)


def worker_of(server: Server) -> int:
    """The process in which the work was started."""
    return int(server.wait_for("work: started in process").text.split()[-1])


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


def ask_gunicorn_once_more(server: Server, _: Path) -> None:
    """Send the request after which the worker ends, and wait for the one in its place."""
    client.get(f"{server.url}/openapi.json")
    server.wait_for("Application startup complete", nth=2)


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


def what_became_of_it(server: Server) -> str:
    said = "".join(x.text for x in server.lines)  # processes may share a line
    return (
        "done"
        if "work: done" in said
        else "cancelled"
        if "work: ended" in said
        else "lost"
    )


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


def test_gunicorn_has_a_limit_of_thirty_seconds():
    """gunicorn always has a limit: 30 seconds, unless `--graceful-timeout` says otherwise."""
    assert Config().graceful_timeout == 30


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


@pytest.mark.slow
def test_with_workers_one_that_has_had_its_requests_is_replaced():
    """`--limit-max-requests` ends the process. Alone, nobody starts it again; with `--workers 2` uvicorn starts another worker."""
    alone = (*PYTHON, "uvicorn", TARGET, "--port", "0", "--limit-max-requests", "1")
    with start(alone) as server:
        client.get(f"{server.url}/openapi.json")
        assert server.wait() == 0
    with serve(TARGET, "--workers", "2", "--limit-max-requests", "1") as server:
        client.get(f"{server.url}/openapi.json")
        server.wait_for("Application startup complete", nth=3)
        assert client.get(f"{server.url}/openapi.json").status_code == 200


@pytest.mark.slow
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
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)):
            ask_until(lambda: client.get(url).status_code, lambda s: s == 503, 30)
        ask_until(lambda: client.get(url).status_code, lambda s: s == 200, 30)


@pytest.mark.slow
def test_gunicorn_kills_a_worker_that_a_task_blocks():
    """gunicorn kills a worker whose event loop does not answer for `--timeout`, and the task with it."""
    with gunicorn("--timeout", "2") as server:
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/blocking")
        server.wait_for("WORKER TIMEOUT")
        server.wait_for("Application startup complete", nth=2)
        assert what_became_of_it(server) == "lost"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "env", "printed"),
    [
        ("faulthandler.enable()", {}, True),
        ("", {"PYTHONFAULTHANDLER": "1"}, False),
        ("faulthandler.enable()", {"PYTHONFAULTHANDLER": "1"}, False),
    ],
)
def test_with_faulthandler_in_the_module_gunicorn_prints_the_line_that_blocked(
    call: str, env: dict[str, str], printed: bool, tmp_path: Path
):
    """gunicorn ends that worker with `SIGABRT`. After `faulthandler.enable()` in the app's module the worker prints where each of its threads is, the task's line first. `PYTHONFAULTHANDLER=1` does not help, alone or with `enable()`: uvicorn's worker class removes the handler that Python has set, and `enable()` does not set it again."""
    start = {"app = FastAPI(": f"import faulthandler; {call}\napp = FastAPI("}
    env = changed(env, tmp_path, TARGET, start)
    with gunicorn("--timeout", "2", target="changed:app", env=env) as server:
        server.expect("Fatal Python error: Aborted")
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/blocking")
        server.wait_for("WORKER TIMEOUT")
        server.wait_for("was sent SIGABRT")
        found = re.findall(r"line \d+ in (\w+)", server.transcript())
    assert found[:2] == (
        ["work_in_a_thread", "work_and_block_the_loop"] if printed else []
    )


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_gunicorn_may_kill_a_worker_after_half_of_its_timeout():
    """Every half `--timeout` a worker tells gunicorn that it is alive. So what blocks the event loop for more than half can be too long: here six seconds, begun two seconds after the last sign, with a `--timeout` of seven."""
    with gunicorn("--timeout", "7") as server:
        server.wait_for("Application startup complete")
        worker = server.wait_for("Booting worker with pid").text.split()[-1]
        files = Path("/proc", worker, "fd").iterdir()
        [sign] = [f for f in files if "wgunicorn" in os.readlink(f)]
        for _ in range(5):  # on a busy machine the request comes too late
            ask_until(
                lambda: time.monotonic() - sign.stat().st_mtime,
                lambda seconds: 2.2 < seconds < 2.7,
                60,
            )
            start = len(server.lines)
            client.post(f"{server.url}/blocking")
            end = server.wait_for("WORKER TIMEOUT|work: done", start=start)
            if "TIMEOUT" in end.text:
                break
        assert "TIMEOUT" in end.text
        assert "work: done" not in [line.text for line in server.lines[start:]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async-def"])
def test_gunicorn_lets_a_long_task_be_that_does_not_block(kind: str):
    """It leaves a longer task alone if that does not block."""
    with gunicorn("--timeout", "2") as server:
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/{kind}/4.5")
        server.wait_for("work: done")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["def", "async-def"])
@pytest.mark.parametrize(("timeout", "became"), [("2", "lost"), ("60", "done")])
def test_after_max_requests_a_task_longer_than_timeout_is_lost(
    kind: str, timeout: str, became: str
):
    """A worker that has had its `--max-requests` waits for its tasks and tells gunicorn nothing meanwhile: after `--timeout`, 30 seconds by default, it is killed, `WORKER TIMEOUT`, and a task that takes longer is lost, also one that does not block."""
    assert Config().timeout == 30
    with gunicorn("--max-requests", "2", "--timeout", timeout) as server:
        server.expect("WORKER TIMEOUT")
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/{kind}/5")
        worker_of(server)
        ask_gunicorn_once_more(server, Path())
        assert what_became_of_it(server) == became
        assert ("WORKER TIMEOUT" in server.transcript()) == (became == "lost")


@pytest.mark.slow
def test_a_thread_that_the_lifespan_leaves_is_a_worker_timeout_after_the_shutdown(
    tmp_path: Path,
):
    """A thread that is no daemon and goes on after the lifespan, such as that of a client nobody closed, keeps a worker that has had its `--max-requests`: `Application shutdown complete`, and `WORKER TIMEOUT` after that."""
    leaves = {
        "    yield\n": "    yield\n    threading.Thread(target=time.sleep, args=[60]).start()\n",
        "import time\n": "import threading\nimport time\n",
    }
    env = changed({}, tmp_path, TARGET, leaves)
    options = ("--max-requests", "1", "--timeout", "2")
    with gunicorn(*options, target="changed:app", env=env) as server:
        server.expect("WORKER TIMEOUT|SIGKILL|SIGABRT|Error handling")
        server.wait_for("Application startup complete")
        client.get(f"{server.url}/openapi.json")
        server.wait_for("Application shutdown complete")
        server.wait_for("WORKER TIMEOUT")
        server.wait_for("Application startup complete", nth=2)


@pytest.mark.slow
def test_an_open_stream_holds_up_a_worker_that_has_had_its_requests():
    """So does an open stream or request: `Waiting for connections to close`, and after `--timeout` it is a `WORKER TIMEOUT`, and cut off."""
    options = ("--max-requests", "1", "--timeout", "2")
    with gunicorn(*options, target=STREAM) as server:
        server.expect("SIGABRT|CancelledError")
        with client.stream("GET", f"{server.url}/news"), suppress(httpx.HTTPError):
            client.get(f"{server.url}/openapi.json")
            server.wait_for("Waiting for connections to close")
            server.wait_for("WORKER TIMEOUT")


@pytest.mark.slow
def test_uvicorn_does_not_notice_a_worker_whose_loop_a_task_blocks():
    """uvicorn kills no such worker as long as other threads get their turn: a thread answers its health check."""
    options = ("--workers", "2", "--timeout-worker-healthcheck", "2")
    with uvicorn(*options) as server:
        client.post(f"{server.url}/blocking")
        server.wait_for("work: done")


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
