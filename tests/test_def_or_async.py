"""The statements of docs/def-or-async.md."""

import asyncio
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import current_default_thread_limiter, run_sync
from uvicorn.importer import import_from_string

from runner import client, new_client, serve
from runner.process import ROOT
from tests.copying import changed
from tests.orders import ask_until
from tests.services import in_a_thread
from tests.terminal import positions, stop_and_read

BLOCKING = "examples.def_or_async.blocking_call:app"


def test_a_blocking_call_in_an_async_def_task_stops_every_other_request():
    """While an `async def` task makes a blocking call, another request gets no answer."""
    with (
        serve(BLOCKING) as server,
        new_client(base_url=server.url) as client,
    ):
        accepted = client.post("/report")
        server.wait_for("build_report: started")
        ping = client.get("/ping")
        server.wait_for("GET /ping")
        story = [line.text for line in server.lines]
    assert accepted.json() == {"message": "Task has been queued"}
    assert ping.json() == {"message": "pong"}
    ping_logged = next(i for i, text in enumerate(story) if "GET /ping" in text)
    assert story.index("build_report: done") < ping_logged


def test_the_same_call_in_a_def_task_stops_none():
    """The same call in a `def` task stops none: another request is answered meanwhile."""
    with (
        serve(BLOCKING) as server,
        new_client(base_url=server.url) as client,
    ):
        client.post("/report-in-thread")
        server.wait_for("build_report_in_thread: started")
        ping = client.get("/ping")
        server.wait_for("build_report_in_thread: done")
        answered, done = positions(server, "GET /ping", "build_report_in_thread: done")
    assert ping.json() == {"message": "pong"}
    assert answered < done


MIDDLEWARE = """@app.middleware("http")
async def pass_on(request, call_next):
    return await call_next(request)


@app.get("/ping")"""


@pytest.mark.parametrize("middleware", [False, True])
def test_what_create_task_begins_runs_after_the_response_or_before(
    middleware: bool, tmp_path: Path
):
    """A coroutine that blocks for three seconds, begun with `create_task` by an endpoint that then returns: its response has left before it begins. With an `http` middleware it begins first, and its own client waits too."""
    changes = {
        "time.sleep(1)  # stands": "time.sleep(3)  # stands",
        "import time\n": "import asyncio\nimport time\n",
        "background_tasks.add_task(build_report)": "app.state.report = asyncio.create_task(build_report())",
    }
    changes |= {'@app.get("/ping")': MIDDLEWARE} if middleware else {}
    with serve("changed:app", env=changed({}, tmp_path, BLOCKING, changes)) as server:
        client.post(f"{server.url}/report")
        server.wait_for("build_report: done")
        server.wait_for("POST /report")
        answered, done = positions(server, "POST /report", "build_report: done")
    assert (done < answered) == middleware


WHICH_LINE = "examples.def_or_async.which_line:app"
IN_THE_TASK = r'which_line.py", line \d+ in build_report'


@pytest.mark.slow
def test_a_blocked_event_loop_is_told_with_the_line_that_blocks_it():
    """While a task blocks the event loop for two seconds, the server prints `Timeout (0:00:01)!` and where each thread is, the task's line first. It prints again at the next block."""
    with serve(WHICH_LINE) as server:
        server.expect("Timeout")
        for number in (1, 2):
            client.post(f"{server.url}/report")
            server.wait_for("build_report: done", nth=number)
            server.wait_for(IN_THE_TASK, nth=number)
        lines = [line.text for line in server.lines]
        at = [n for n, line in enumerate(lines) if line.startswith("Timeout")]
        first = ["".join(lines[n + 2 : n + 3]) for n in at]
        assert sum(bool(re.search(IN_THE_TASK, line)) for line in first) == 2


@pytest.mark.slow
def test_a_task_that_waits_and_does_not_block_is_not_told(tmp_path: Path):
    """With `await asyncio.sleep(7)` and a limit of three seconds it prints nothing."""
    waits = {"time.sleep(2)": "await asyncio.sleep(7)", "later(1)": "later(3)"}
    with serve("changed:app", env=changed({}, tmp_path, WHICH_LINE, waits)) as server:
        client.post(f"{server.url}/report")
        server.wait_for("build_report: done")
        assert "Timeout" not in server.transcript()


AFTER_THE_LIFESPAN = """
import time
from fastapi.testclient import TestClient
from examples.def_or_async.which_line import app
with TestClient(app):
    pass
time.sleep(1.5)
"""


@pytest.mark.slow
def test_after_the_lifespan_nothing_is_told():
    """When the lifespan is over it prints nothing more, however long the process goes on, as in a test with `TestClient`."""
    command = [sys.executable, "-c", AFTER_THE_LIFESPAN]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_asyncios_debug_mode_is_off_under_uvicorn_and_names_no_task(tmp_path: Path):
    """`PYTHONASYNCIODEBUG=1` changes nothing under uvicorn: it starts the loop with `debug=False`. Switched on in the lifespan, with `set_debug(True)`, it prints `Executing … took 2.… seconds`, and names uvicorn's `run_asgi`, not the task."""
    debug = {"PYTHONASYNCIODEBUG": "1"}
    on = "    asyncio.get_running_loop().set_debug(True)\n"
    watch = "    watching = asyncio.create_task(watch())\n"
    copy = changed(
        {}, tmp_path, WHICH_LINE, {watch: on + watch, "later(1)": "later(9)"}
    )
    told = []
    for target, env in (("changed:app", copy), (BLOCKING, debug)):
        with serve(target, env=env) as server:
            server.expect("Executing")
            client.post(f"{server.url}/report")
            server.wait_for("build_report: done")
            client.get(f"{server.url}/ping")
            told.append([x.text for x in server.lines if "Executing" in x.text])
    assert told[1] == []
    # On a busy machine other steps take more than a tenth of a second too.
    [line] = [line for line in told[0] if re.search(r"took [2-9]\.", line)]
    assert "run_asgi" in line
    assert "build_report" not in line


@pytest.mark.slow
def test_a_process_that_hangs_now_prints_where_if_it_was_started_with_faulthandler():
    """Started with `PYTHONFAULTHANDLER=1`, uvicorn's own process, not a worker of gunicorn, prints where its threads are when it gets `SIGABRT`, and ends."""
    with serve(BLOCKING, env={"PYTHONFAULTHANDLER": "1"}) as server:
        server.expect("Fatal Python error: Aborted")
        client.post(f"{server.url}/report")
        server.wait_for("build_report: started")
        server.stop(signal.SIGABRT)
        assert re.search(r"line \d+ in build_report", server.transcript())


@pytest.mark.parametrize("function", ["send_mail", "send_logged_mail"])
def test_a_hidden_async_function_is_never_awaited(function: str):
    """A lambda around an async function, or a plain decorator on it, hides it: the coroutine is never awaited, and there is a warning in place of an error."""
    with serve("examples.def_or_async.never_awaited:app") as server:
        server.expect("was never awaited")
        answer = client.post(f"{server.url}/mails")
        server.wait_for(f"RuntimeWarning: coroutine '{function}' was never awaited")
        server.stop()
        printed = [line.text for line in server.lines if "mail sent" in line.text]
        assert not any("ERROR" in line.text for line in server.lines)
        assert positions(server, "send_logged_mail: called")
    assert answer.status_code == 200
    assert printed == [
        "mail sent to partial",
        "mail sent to object",
        "mail sent to function",
    ]


def test_a_partial_and_a_callable_object_are_awaited():
    """`functools.partial` of an async function, and an object with an async `__call__`, are recognised and awaited."""
    with serve("examples.def_or_async.never_awaited:app") as server:
        server.expect("was never awaited")
        client.post(f"{server.url}/mails")
        server.wait_for("mail sent to partial")
        server.wait_for("mail sent to object")


def test_a_coroutine_in_the_place_of_a_function_fails_after_the_response():
    """`add_task(send_mail(...))` adds a coroutine in the place of a function: `200`, then a `TypeError` in the log."""
    with serve("examples.def_or_async.called_too_early:app") as server:
        server.expect("was never awaited")
        answer = client.post(f"{server.url}/called")
        server.wait_for("TypeError: the first argument must be callable")
        server.stop()
        assert not any("mail sent" in line.text for line in server.lines)
    assert answer.status_code == 200


def test_a_wrong_argument_fails_after_the_response():
    """A wrong argument is noticed when the task is called: `200`, then a `TypeError` in the log."""
    with serve("examples.def_or_async.called_too_early:app") as server:
        answer = client.post(f"{server.url}/wrong-argument")
        server.wait_for("TypeError: .*unexpected keyword argument 'address'")
        server.stop()
        assert not any("mail sent" in line.text for line in server.lines)
    assert answer.status_code == 200


@pytest.mark.slow
def test_a_def_task_can_run_an_async_function_on_the_event_loop():
    """`anyio.from_thread.run` runs an async function on the event loop while the `def` task waits for it."""
    with serve("examples.def_or_async.back_to_the_loop:app") as server:
        server.expect("no running event loop")  # of the task that does it wrongly
        client.post(f"{server.url}/thumbnail")
        server.wait_for("make_thumbnail ends in AnyIO worker thread")
        notified, ended = positions(
            server, "notify ran in MainThread", "make_thumbnail"
        )
    assert notified < ended


def test_a_def_task_has_no_running_event_loop():
    """A `def` task has no running event loop: `get_running_loop` and `asyncio.create_task` raise `RuntimeError`."""
    with serve("examples.def_or_async.back_to_the_loop:app") as server:
        client.post(f"{server.url}/thumbnail")
        server.wait_for("in make_thumbnail_wrongly")
        server.wait_for("RuntimeError: no running event loop")


def test_a_timeout_ends_a_task_that_awaits():
    """`asyncio.timeout` ends a task that awaits: one of ten seconds ends in less than five."""
    with serve("examples.def_or_async.time_limit:app") as server:
        client.post(f"{server.url}/task")
        accepted = server.wait_for("POST /task")
        given_up = server.wait_for("fetch_rates: given up")
    assert given_up.time - accepted.time < 5


@pytest.mark.slow
def test_a_timeout_ends_the_wait_for_a_thread_and_not_the_thread():
    """Around a thread, `asyncio.timeout` ends the wait; the thread works on to its end."""
    with serve("examples.def_or_async.time_limit:app") as server:
        client.post(f"{server.url}/task")
        server.wait_for("build_report: done")
        given_up, done = positions(
            server, "build_report_in_time: given up", "build_report: done"
        )
    assert given_up < done


def test_a_thread_that_is_given_up_no_longer_counts(
    capsys: pytest.CaptureFixture[str],
):
    """AnyIO no longer counts a thread that was given up: none of the 40 is taken, though it works on. Tasks that are given up again and again pile up threads."""
    build = import_from_string("examples.def_or_async.time_limit:build_report_in_time")

    async def given_up() -> int:
        await build()
        assert "build_report: done" not in capsys.readouterr().out
        return int(current_default_thread_limiter().borrowed_tokens)

    assert in_a_thread(given_up()).result() == 0
    ask_until(lambda: capsys.readouterr().out, lambda out: "report: done" in out, 30)


@pytest.mark.parametrize("abandoned", [False, True])
@pytest.mark.parametrize("scope", [anyio.move_on_after, anyio.fail_after])
def test_a_scope_of_anyio_waits_for_a_thread_unless_it_may_abandon_it(
    scope: Callable[[float], Any], abandoned: bool
):
    """AnyIO's own limits wait for the thread: `move_on_after(0.1)` and `fail_after(0.1)` around `to_thread.run_sync` end when the thread has ended, without an error. With `abandon_on_cancel=True` they end at the limit, and the thread works on."""
    go_on = threading.Event()

    async def wait_for_a_thread() -> None:
        if not abandoned:
            asyncio.get_running_loop().call_later(0.5, go_on.set)
        with pytest.raises(TimeoutError) if raises else nullcontext(), scope(0.1):
            await run_sync(go_on.wait, 30, abandon_on_cancel=abandoned)

    raises = abandoned and scope is anyio.fail_after
    in_a_thread(wait_for_a_thread()).result()
    assert go_on.is_set() == (not abandoned)
    go_on.set()


def test_a_timeout_that_leaves_a_task_skips_the_tasks_after_it(tmp_path):
    """Without its `except`, the first task ends with `TimeoutError`, and the second never begins."""
    target = "examples.def_or_async.time_limit:app"
    caught = 'except TimeoutError:\n        print("fetch_rates'
    env = changed(
        {}, tmp_path, target, {caught: 'finally:\n        print("fetch_rates'}
    )
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/task")
        server.wait_for("fetch_rates: given up")
        server.wait_for("^TimeoutError")
        printed = stop_and_read(server, "build_report")
    assert printed == []


def test_a_type_checker_finds_both_mistakes(tmp_path):
    """Without the two `Any`, mypy reports both."""
    source = (ROOT / "examples/def_or_async/called_too_early.py").read_text()
    mistakes = tmp_path / "mistakes.py"
    mistakes.write_text(source.replace("call: Any", "call").replace(": Any =", " ="))
    command = [sys.executable, "-m", "mypy", "--strict", mistakes]
    found = subprocess.run(command, capture_output=True, text=True).stdout
    assert (
        'Argument 1 to "add_task" of "BackgroundTasks" has incompatible type' in found
    )
    assert 'Unexpected keyword argument "address" for "add_task"' in found
