"""The statements of docs/processes-and-programs.md; its table is tested cell by cell."""

import os
import pickle
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import psutil
import pytest

from runner import Server, client, serve
from runner.process import FORKED, PYTHON, ROOT, ServerError, free_port, lives, start
from tests.copying import changed, with_changes
from tests.orders import ask_until
from tests.terminal import positions
from tests.what_is_left import change_the_file

pytestmark = pytest.mark.slow

LEFT_BEHIND = "examples.processes_and_programs.left_behind:app"
TIME_LIMIT = "examples.processes_and_programs.time_limit:app"


def programs(server: Server) -> list[psutil.Process]:
    """What the server has started and not waited for, and what that has started."""
    return psutil.Process(server.process.pid).children(recursive=True)


def running(found: list[psutil.Process]) -> list[psutil.Process]:
    """Which of these run, and do not merely wait for somebody to notice their end."""
    return [process for process in found if process.is_running() and lives(process.pid)]


def assert_left(found: list[psutil.Process], left: bool) -> None:
    """Some of these run, or soon none: a signal that is sent takes a moment."""
    if left:
        assert running(found)
    else:
        ask_until(lambda: running(found), none, 15)


@contextmanager
def started(server: Server, number: int) -> Iterator[list[psutil.Process]]:
    """Wait until so many programs run, the last of them `sleep`; at the end they are killed."""
    found = ask_until(
        lambda: programs(server),
        lambda now: len(now) == number and now[-1].name() == "sleep",
        30,
    )
    try:
        yield found
    finally:
        for process in running(found):
            process.kill()


def end(server: Server, number: Signals) -> None:
    """Send a signal and wait for the server's end, not for what else writes to its terminal."""
    server.process.send_signal(number)
    server.process.wait(30)


def none(found: list[psutil.Process]) -> bool:
    return not found


@pytest.mark.parametrize("way", ["def", "async-def"])
def test_at_its_limit_the_program_is_killed(way: str):
    """At the limit the program is killed and waited for: no process is left, not even a zombie."""
    with serve(TIME_LIMIT) as server:
        client.post(f"{server.url}/{way}/60")
        with started(server, 1):
            server.wait_for("transcode: killed")
            ask_until(lambda: programs(server), none, 30)
        client.post(f"{server.url}/{way}/0")
        server.wait_for("transcode: done")


@pytest.mark.parametrize(
    ("way", "told"),
    [("def", "returned non-zero exit status 1"), ("async-def", "failed with 1")],
)
def test_a_program_that_fails_is_not_one_that_was_killed(
    way: str, told: str, tmp_path: Path
):
    """A program that ends with an error is distinguished from one that was killed, and no exception leaves the task."""
    fails = {'["sleep", str(seconds)]': '["false"]'}
    env = changed({}, tmp_path, TIME_LIMIT, fails)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/{way}/0")
        server.wait_for(f"transcode: .*{told}")


@pytest.mark.parametrize("way", ["def", "async-def"])
def test_meanwhile_requests_are_answered(way: str):
    """While the program runs, other requests are answered."""
    with serve(TIME_LIMIT) as server:
        client.post(f"{server.url}/{way}/60")
        client.get(f"{server.url}/ping")
        server.wait_for("transcode: killed")
        answered, killed = positions(server, "GET /ping", "transcode: killed")
    assert answered < killed


def test_a_timeout_alone_ends_the_wait_and_not_the_program():
    """`asyncio.timeout` alone ends the wait: the program runs on."""
    with serve(TIME_LIMIT) as server:
        client.post(f"{server.url}/timeout-alone/60")
        with started(server, 1) as found:
            server.wait_for("transcode: given up")
            client.get(f"{server.url}/ping")
            assert running(found)


@pytest.mark.parametrize(("way", "left"), [("run", 1), ("group", 0)])
def test_a_kill_leaves_what_the_program_has_started(way: str, left: int):
    """At its limit `subprocess.run` kills the shell, and what the shell has started runs on. `killpg` ends both."""
    with serve(LEFT_BEHIND) as server:
        server.expect("subprocess [0-9]+ is still running")
        client.post(f"{server.url}/{way}")
        with started(server, 2) as found:
            server.wait_for("script: (given up|ended with -9)")
            ask_until(lambda: running(found), lambda now: len(now) <= left, 30)
            assert len(running(found)) == left


FIRST = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what becomes of orphans is as for process 1
server = [sys.executable, *sys.argv[2:]]
if sys.argv[1] == "none":
    os.execv(sys.executable, server)
pid = os.spawnv(os.P_NOWAIT, sys.executable, server)
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
while os.wait()[0] != pid:
    pass
"""


@contextmanager
def first_process(init: bool) -> Iterator[Server]:
    """The server as process 1 of a container is, or behind an `init` that is it."""
    options = ["init" if init else "none", "-m", "uvicorn", LEFT_BEHIND, "--port", "0"]
    with start([sys.executable, "-c", FIRST, *options]) as server:
        server.expect("subprocess [0-9]+ is still running")
        yield server
        server.stop()


@pytest.mark.parametrize("init", [False, True])
def test_what_a_program_leaves_is_defunct_if_the_server_is_the_first_process(
    init: bool,
):
    """Process 1 of a container gets what has lost its parent, here uvicorn does. The shell is killed; what it has started ends later, and stays as `<defunct>`: uvicorn waits only for its own. Behind an init nothing stays."""
    with first_process(init) as server:
        client.post(f"{server.url}/run")
        with started(server, 2 + init) as found:
            server.wait_for("script: given up")
            found[-1].kill()
            if init:
                ask_until(found[-1].is_running, (False).__eq__, 30)
            else:
                ask_until(found[-1].status, psutil.STATUS_ZOMBIE.__eq__, 30)


@pytest.mark.parametrize(
    ("way", "left"), [("run", True), ("popen", True), ("group", False)]
)
def test_a_server_that_stops_leaves_its_programs_running(way: str, left: bool):
    """At the limit of `--timeout-graceful-shutdown` the server leaves the programs of `subprocess.run` and `Popen` running. An `async def` task is cancelled, and its `finally` kills the group."""
    with serve(LEFT_BEHIND, "--timeout-graceful-shutdown", "0") as server:
        server.expect("graceful shutdown exceeded|subprocess [0-9]+ is still running")
        client.post(f"{server.url}/{way}")
        with started(server, 2) as found:
            end(server, SIGTERM)
            assert_left(found, left)


@pytest.mark.parametrize(("way", "left"), [("popen", True), ("popen-timeout", False)])
def test_a_program_behind_timeout_ends_though_the_server_was_killed(
    way: str, left: bool
):
    """After a `SIGKILL` of the server a program runs on; one that was started by `timeout` ends at its limit, with all that it has started."""
    with serve(LEFT_BEHIND) as server:
        server.expect("subprocess [0-9]+ is still running")
        client.post(f"{server.url}/{way}")
        with started(server, 2 if left else 3) as found:
            end(server, SIGKILL)
            assert running(found)
            if not left:
                ask_until(lambda: running(found), none, 15)


@pytest.mark.parametrize(("way", "left"), [("popen", False), ("popen-timeout", True)])
def test_ctrl_c_reaches_the_programs_too(way: str, left: bool, tmp_path: Path):
    """`Ctrl+C` in a terminal goes to the programs as well, unless they are in a group of their own."""
    later = {'"timeout", "5"': '"timeout", "60"'}  # than the server takes to end
    env = changed({}, tmp_path, LEFT_BEHIND, later)
    with serve("changed:app", env=env) as server:
        server.expect("subprocess [0-9]+ is still running")
        client.post(f"{server.url}/{way}")
        with started(server, 3 if left else 2) as found:
            os.killpg(server.process.pid, SIGINT)
            server.process.wait(30)
            assert_left(found, left)


OWN_THREADS = "examples.processes_and_programs.own_threads:app"


def send(*numbers: Signals) -> Callable[[Server], None]:
    """Send the first, the next when it has been noticed; wait for the end."""

    def stop(server: Server) -> None:
        server.process.send_signal(numbers[0])
        for number in numbers[1:]:
            server.wait_for("Shutting down")
            server.process.send_signal(number)
        server.wait()

    return stop


LIMITED = "`SIGTERM` with `--timeout-graceful-shutdown 1`"
STOPS = {
    "`SIGTERM`": send(SIGTERM),
    LIMITED: send(SIGTERM),
    "`SIGINT`, which is `Ctrl+C`": send(SIGINT),
    "`SIGINT` twice": send(SIGINT, SIGINT),
}
COLUMNS = {
    "`Thread`": "thread",
    "`Thread(daemon=True)`": "daemon",
    "`submit`": "submit",
    "`submit`, and `shutdown` in the lifespan": "submit-and-shutdown",
}
PAGE = ROOT / "docs/processes-and-programs.md"


def cells() -> list[tuple[str, str, str]]:
    """The row, the column and the text of each cell of the page's table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines
    ]
    return [
        (row[0], column, text)
        for row in rows
        for column, text in zip(head[1:], row[1:], strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "column", "text"), cells())
def test_each_cell_of_the_table(row: str, column: str, text: str):
    """Each cell of the table: a server of its own, the thread at work, the signal sent, and what was printed until the process had ended."""
    options = ("--timeout-graceful-shutdown", "1") if row == LIMITED else ()
    with serve(OWN_THREADS, *options) as server:
        server.expect("CancelledError")
        seconds = 2 if text == "done" else 30  # not by a hair
        client.post(f"{server.url}/{COLUMNS[column]}/{seconds}")
        server.wait_for("work: started")
        STOPS[row](server)
        said = [line.text for line in server.lines]
    found = "done" if "work: done" in said else "lost"
    assert "work: ended" in said or found == "lost"
    assert found == text, f"{row}, {column} is {found}"


OWN_PROCESS = "examples.processes_and_programs.own_process:app"


def test_the_request_is_answered_while_the_process_works():
    """`start` returns at once: while the spawned process works requests are answered."""
    with serve(OWN_PROCESS) as server:
        answer = client.post(f"{server.url}/spawn/60")
        server.wait_for("build_report: started")
        assert client.get(f"{server.url}/ping").json() == {"message": "pong"}
        process = psutil.Process(answer.json())
        assert running([process])


def test_a_process_that_has_ended_is_a_zombie_until_the_next_start():
    """A process that has ended is a zombie until it is joined, or the next one is started."""
    with serve(OWN_PROCESS) as server:
        first = psutil.Process(client.post(f"{server.url}/spawn/0").json())
        ask_until(first.status, lambda now: now == psutil.STATUS_ZOMBIE, 30)
        client.post(f"{server.url}/spawn/60")
        assert not first.is_running()


@pytest.mark.parametrize("daemon", [False, True], ids=["process", "daemon"])
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_process_outlives_a_server_that_gets_sigterm(method: str, daemon: bool):
    """After `SIGTERM`, which a deploy sends, the process runs on without its server, forked or spawned, with `daemon=True` or not."""
    with serve(OWN_PROCESS) as server:
        server.expect(FORKED)
        process = a_process_of(server, f"{method}/60?daemon={daemon}")
        end(server, SIGTERM)
        assert running([process])


def test_a_reload_leaves_it_running_too(tmp_path: Path):
    """A changed file under `--reload` does the same: the old server ends, the new one starts, and the process of the old one runs on."""
    shutil.copy(
        ROOT / "examples/processes_and_programs/own_process.py", tmp_path / "main.py"
    )
    command = [*PYTHON, "uvicorn", "main:app", "--reload", "--port", "0"]
    with start(command, cwd=tmp_path) as server:
        process = a_process_of(server, "spawn/60?daemon=True")
        change_the_file(server, tmp_path)
        assert running([process])


@pytest.mark.parametrize(
    ("path", "waits"),
    [("spawn/5", True), ("spawn/60?daemon=True", False), ("fork/5?daemon=True", True)],
    ids=["process", "daemon", "forked daemon"],
)
def test_after_sigint_python_waits_for_it_and_terminates_a_daemon(
    path: str, waits: bool
):
    """After `SIGINT` to the server alone Python waits for the process, however long, and terminates it if it is a daemon. A forked daemon ignores Python's `SIGTERM` too, and is waited for."""
    with serve(OWN_PROCESS) as server:
        server.expect(FORKED)
        process = a_process_of(server, path)
        server.stop(SIGINT)
        assert not running([process])
        printed = server.transcript()
    assert ("build_report: done" in printed) == waits
    if waits:
        assert printed.index("Finished server") < printed.index("build_report: done")


def test_a_task_that_joins_its_process_is_waited_for():
    """A `def` task that starts the process and joins it is waited for after `SIGTERM`: the process ends first, and leaves no zombie."""
    with serve(OWN_PROCESS) as server:
        client.post(f"{server.url}/task/5")
        server.wait_for("build_report: started")
        assert client.get(f"{server.url}/ping").status_code == 200
        server.stop()
        asked, done, joined, ended = positions(
            server,
            "Shutting down",
            "build_report: done",
            "build_and_wait: ended with 0",
            "Application shutdown complete",
        )
    assert asked < done < joined < ended


def test_at_its_limit_the_process_is_killed(tmp_path: Path):
    """At its limit the task kills the process, and collects it."""
    env = changed({}, tmp_path, OWN_PROCESS, {"LIMIT = 30": "LIMIT = 1"})
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/task/60")
        server.wait_for("build_and_wait: ended with -9")
        [tracker] = programs(server)  # which Python keeps beside what it spawns
        assert "resource_tracker" in " ".join(tracker.cmdline())


def a_process_of(server: Server, path: str) -> psutil.Process:
    """Let the server start a process, and wait until it works."""
    pid = client.post(f"{server.url}/{path}").json()
    server.wait_for("build_report: started")
    return psutil.Process(pid)


OWN_EXECUTOR = "examples.processes_and_programs.own_executor:app"


def test_run_in_executor_and_submit_take_no_context_along():
    """In `submit` and `run_in_executor` the request id is gone. `asyncio.to_thread`, `run_in_threadpool` and `copy_context().run` bring it."""
    with serve(OWN_EXECUTOR) as server:
        client.post(f"{server.url}/reports", headers={"x-request-id": "abc-1"})
        server.wait_for("run_in_threadpool")
        server.wait_for("] submit")
        said = sorted(x.text for x in server.lines if x.text.startswith("["))
    assert said == [
        "[-] run_in_executor",
        "[-] submit",
        "[abc-1] asyncio.to_thread",
        "[abc-1] copy_context",
        "[abc-1] run_in_threadpool",
    ]


def test_a_context_cannot_be_pickled():
    """Into another process it cannot go along: a context cannot be pickled. Pass the id as an argument."""
    with pytest.raises(TypeError, match=r"cannot pickle '_contextvars.Context'"):
        pickle.dumps(copy_context())


def test_what_a_submitted_job_raises_is_never_told():
    """What a job of `submit` raises is printed nowhere, not even at the end; a callback on its future reports it."""
    with serve(OWN_EXECUTOR) as server:
        client.post(f"{server.url}/prints")
        client.post(f"{server.url}/prints-told")
        server.wait_for("print_report: the printer is off")
        server.stop()
        told = [x.text for x in server.lines if "the printer is off" in x.text]
    assert told == ["print_report: the printer is off"]


GUARDED = 'if __name__ == "__main__":\n    uvicorn.run(app)\n'
WARM_UP = "        app.state.pool.submit(os.getpid)"


def run_with_python(
    folder: Path, changes: dict[str, str]
) -> AbstractContextManager[Server]:
    """Run the example, changed, with ``python`` until it has begun, or failed to."""
    file = ROOT / "examples/processes_and_programs/guarded.py"
    text = with_changes(file.read_text(), changes)
    assert "uvicorn.run(app)" in text
    text = text.replace("uvicorn.run(app)", f"uvicorn.run(app, port={free_port()})")
    (folder / "main.py").write_text(text)
    return start([sys.executable, "main.py"], cwd=folder)


def test_with_the_guard_python_main_py_serves(tmp_path: Path):
    """With the guard `python main.py` serves, and the pool computes."""
    with run_with_python(tmp_path, {}) as server:
        client.post(f"{server.url}/forecasts")
        server.wait_for("publish_forecast: 2053351")


def test_under_the_uvicorn_command_the_same_file_serves():
    """Started by the `uvicorn` command the same file serves too, and the line under the guard does not run."""
    with serve("examples.processes_and_programs.guarded:app") as server:
        client.post(f"{server.url}/forecasts")
        server.wait_for("publish_forecast: 2053351")
        said = [x.text for x in server.lines if "Uvicorn running" in x.text]
    assert len(said) == 1


UNGUARDED = {GUARDED: "uvicorn.run(app)\n"}


def test_without_the_guard_the_process_fails_in_its_bootstrapping_phase(
    tmp_path: Path,
):
    """Without the guard the process that the pool has spawned imports `main.py`, starts the app once more, and with it a pool: `before the current process has finished its bootstrapping phase`. The server serves on with a `BrokenProcessPool`."""
    with run_with_python(tmp_path, UNGUARDED) as server:
        breaks_in_its_bootstrapping_phase(server)


def breaks_in_its_bootstrapping_phase(server: Server) -> None:
    """The pool is broken by what its process does, and the server serves."""
    server.wait_for("finished its bootstrapping phase")
    server.wait_for("Application startup failed")
    client.post(f"{server.url}/forecasts")
    server.wait_for("BrokenProcessPool")


def does_not_start(folder: Path, changes: dict[str, str]) -> None:
    """The fork server fails when it imports the main module, and the app with it."""
    with pytest.raises(ServerError) as raised, run_with_python(folder, changes):
        pass
    told = str(raised.value)
    assert "finished its bootstrapping phase" in told
    assert "ConnectionResetError" in told or "EOFError" in told
    assert told.count("Application startup failed") == 2


SINCE = {13: (3, 13, 8), 14: (3, 14, 1)}
"""The releases in which the fork server imports the main module too."""


def test_without_the_guard_forkserver_ends_the_server_from_python_3_14_1_on(
    tmp_path: Path,
):
    """`forkserver` does the same up to Python 3.13.7, and in 3.14.0. From 3.13.8 and 3.14.1 on, the fork server imports `main.py` and fails, and the server does not start: `ConnectionResetError` or `EOFError`, and `Application startup failed`."""
    changes = {**UNGUARDED, '"spawn"': '"forkserver"'}
    if sys.version_info[:3] >= SINCE.get(sys.version_info.minor, (3, 14)):
        does_not_start(tmp_path, changes)
        return
    with run_with_python(tmp_path, changes) as server:
        breaks_in_its_bootstrapping_phase(server)


def test_without_the_guard_fork_works(tmp_path: Path):
    """With `fork`, the default on Linux before Python 3.14, nothing is imported again, and the guard is not missed."""
    changes = {**UNGUARDED, '"spawn"': '"fork"'}
    with run_with_python(tmp_path, changes) as server:
        client.post(f"{server.url}/forecasts")
        server.wait_for("publish_forecast: 2053351")


def test_from_python_3_14_on_the_default_on_linux_is_forkserver(tmp_path: Path):
    """If no context is named, on Linux, the guard is not missed before Python 3.14. From 3.14 on it is: the default is `forkserver`."""
    changes = {**UNGUARDED, ', get_context("spawn")': ""}
    if sys.version_info >= (3, 14):
        failed = pytest.raises(ServerError, match="forkserver")
        with failed, run_with_python(tmp_path, changes):
            pass
        return
    with run_with_python(tmp_path, changes) as server:
        client.post(f"{server.url}/forecasts")
        server.wait_for("publish_forecast: 2053351")


def test_without_the_guard_a_pool_that_starts_later_finds_the_port_taken(
    tmp_path: Path,
):
    """If the pool is not used in the lifespan, the second server gets further, and finds the port taken: `address already in use`."""
    changes = {**UNGUARDED, WARM_UP: ""}
    with run_with_python(tmp_path, changes) as server:
        client.post(f"{server.url}/forecasts")
        server.wait_for("address already in use")
        server.wait_for("BrokenProcessPool")


MODEL = "examples.processes_and_programs.model:app"


@pytest.mark.slow
@pytest.mark.parametrize(("way", "waits"), [("keeps-the-lock", True), ("in-c", False)])
def test_a_call_in_c_that_keeps_the_lock_lets_nothing_through(way: str, waits: bool):
    """A single call that keeps the lock, here `sum(range(n))`, lets nothing through, though it is in a thread: a request that comes meanwhile waits for its end. One that comes while `hashlib` computes does not."""
    with serve(MODEL) as server:
        client.post(f"{server.url}/{way}/400")
        started = server.wait_for("predict: started")
        client.get(f"{server.url}/ping", timeout=60)
        answered = server.wait_for("GET /ping")
        done = server.wait_for("predict: done", timeout=60)
    half = (done.time - started.time) / 2
    assert (answered.time - started.time > half) == waits


LIMIT = ("--workers", "2", "--timeout-worker-healthcheck", "2")


@pytest.mark.slow
def test_a_worker_whose_lock_is_kept_too_long_is_killed():
    """With `--workers` uvicorn kills a worker that does not answer its health check for 5 seconds (here 2): `Child process [...] died`. A call in C that keeps the lock so long is enough, and the task is lost."""
    with serve(MODEL, *LIMIT) as server:
        client.post(f"{server.url}/keeps-the-lock/5000")
        server.wait_for("predict: started")
        server.wait_for(r"Child process \[\d+\] died")
        server.wait_for("Application startup complete", nth=3)
        assert "predict: done" not in server.transcript()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["in-c", "in-python"])
def test_a_worker_that_others_get_a_turn_in_lives(way: str):
    """A computation of the same length that lets other threads run, in C or in Python, is left alone."""
    with serve(MODEL, *LIMIT) as server:
        began = time.monotonic()
        client.post(f"{server.url}/{way}/800")
        server.wait_for("predict: done", timeout=60)
        assert time.monotonic() - began > 2
        assert "died" not in server.transcript()


def test_each_worker_loads_a_model_of_its_own():
    """With `--workers 2` two processes load a model each."""
    with serve(MODEL, "--workers", "2") as server:
        said = "\n".join(line.text for line in server.lines)
    loaded = re.findall(r"load_model: in process (\d+)", said)
    assert len(loaded) == len(set(loaded)) == 2


def test_a_limiter_of_one_lets_one_predict_at_a_time():
    """With a `CapacityLimiter(1)` one prediction begins when the other has ended."""
    with serve(MODEL) as server:
        for _ in range(2):
            client.post(f"{server.url}/one-at-a-time/100")
        server.wait_for("predict: done", nth=2, timeout=60)
        said = [x.text for x in server.lines if x.text.startswith("predict")]
    assert said == ["predict: started", "predict: done"] * 2
