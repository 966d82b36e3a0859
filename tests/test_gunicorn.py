"""The statements of docs/gunicorn.md."""

import os
import re
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest
from gunicorn.config import Config

from runner import client, serve
from tests.copying import changed
from tests.orders import ask_until
from tests.what_is_left import (
    TARGET,
    Cell,
    Row,
    ask_gunicorn_once_more,
    cells,
    gunicorn,
    signals,
    what_became_of_it,
    worker_of,
)

STREAM = "examples.testing.news:app"
LIMITED = "examples.gunicorn.limited:app"
LIMIT = {'"timeout_graceful_shutdown": 20': '"timeout_graceful_shutdown": 1'}


ROWS = {
    "`SIGTERM`": Row(gunicorn, signals(SIGTERM)),
    "`--graceful-timeout 1`, `SIGTERM`": Row(
        partial(gunicorn, "--graceful-timeout", "1"), signals(SIGTERM)
    ),
    "`--max-requests 2`, and the second request": Row(
        partial(gunicorn, "--max-requests", "2"), ask_gunicorn_once_more
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("gunicorn"), ids=str)
def test_each_cell_of_the_table(cell: Cell, tmp_path: Path):
    """Each cell of the table: a server of its own, the work begun, the signal sent, and what was printed until the process had ended."""
    cell.check(ROWS[cell.row], tmp_path)


def test_gunicorn_has_a_limit_of_thirty_seconds():
    """gunicorn always has a limit: 30 seconds, unless `--graceful-timeout` says otherwise."""
    assert Config().graceful_timeout == 30


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
    with serve(TARGET, *options) as server:
        client.post(f"{server.url}/blocking")
        server.wait_for("work: done")


@pytest.mark.slow
def test_with_a_limit_in_the_worker_class_the_task_is_cancelled(tmp_path: Path):
    """uvicorn's `timeout_graceful_shutdown` in the worker class, below `--graceful-timeout`, has an `async def` task cancelled and not killed: it can still say where it was, and the lifespan ends."""
    env = changed({}, tmp_path, LIMITED, LIMIT)
    with gunicorn(target="changed:app", worker="changed.Worker", env=env) as server:
        server.expect("CancelledError")
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/imports")
        server.wait_for("import_pages: page 1")
        server.process.send_signal(SIGTERM)
        server.wait_for("timeout graceful shutdown exceeded")
        server.wait_for("import_pages: ended at page")
        server.wait_for("Application shutdown complete")
        assert server.wait() == 0


@pytest.mark.slow
def test_and_a_worker_that_has_had_its_requests_waits_no_longer_for_what_is_open(
    tmp_path: Path,
):
    """The same limit ends the wait after `--max-requests`: a task is cancelled, and there is no `WORKER TIMEOUT`."""
    env = changed({}, tmp_path, LIMITED, LIMIT)
    options = {"target": "changed:app", "worker": "changed.Worker", "env": env}
    with gunicorn("--max-requests", "2", "--timeout", "60", **options) as server:
        server.expect("CancelledError")
        server.wait_for("Application startup complete")
        client.post(f"{server.url}/imports")
        server.wait_for("import_pages: page 1")
        client.get(f"{server.url}/openapi.json")
        server.wait_for("timeout graceful shutdown exceeded")
        server.wait_for("Application startup complete", nth=2)
        assert "WORKER TIMEOUT" not in server.transcript()
