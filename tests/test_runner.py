"""The runner: a real process, started, watched, and never left behind."""

import re
import subprocess
import sys
import time
from signal import SIGINT, SIGKILL, SIGTERM

import psutil
import pytest

from runner import ServerError, serve
from runner.process import ROOT, start

pytestmark = pytest.mark.slow

FIRST_TASK = "examples.background_tasks.first_task:app"


def wait_until_gone(pid: int) -> None:
    for _ in range(200):
        if (
            not psutil.pid_exists(pid)
            or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        ):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} is still there")


def test_the_process_is_gone_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), serve(FIRST_TASK) as server:
        raise ZeroDivisionError
    wait_until_gone(server.process.pid)


def test_the_children_of_the_process_are_gone_too():
    with serve(FIRST_TASK, "--workers", "2") as server:
        server.wait_for("Application startup complete")
        children = psutil.Process(server.process.pid).children(recursive=True)
    assert len(children) >= 2
    for child in children:
        wait_until_gone(child.pid)


@pytest.mark.parametrize("signal", [SIGINT, SIGTERM, SIGKILL])
def test_the_process_is_gone_when_its_owner_is_ended(signal):
    script = (
        "import signal, time\nfrom runner import serve\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"with serve({FIRST_TASK!r}) as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with owner:
        pid = int(owner.stdout.readline())
        owner.send_signal(signal)
    wait_until_gone(pid)


def test_an_app_that_cannot_start_is_reported_in_its_own_words(tmp_path):
    (tmp_path / "main.py").write_text("raise RuntimeError('no such setting')\n")
    with (
        pytest.raises(ServerError, match="no such setting"),
        serve("main:app", cwd=tmp_path),
    ):
        pass


def test_waiting_for_a_line_that_does_not_come_shows_what_came_instead():
    with serve(FIRST_TASK) as server:
        with pytest.raises(ServerError, match="Uvicorn running on"):
            server.wait_for("a line that never comes", timeout=0.1)
        server.stop()
        with pytest.raises(ServerError, match="the process ended"):
            server.wait_for("a line that never comes")


def test_a_forked_server_finds_what_one_started_by_hand_finds(tmp_path):
    (tmp_path / "main.py").write_text(
        "import asyncio, multiprocessing, os, signal, sys, threading\n"
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    print('found', os.getcwd(), sys.path, sys.stdout.isatty(), os.getpgrp() == os.getpid(),\n"
        "        type(asyncio.get_running_loop()), threading.enumerate(), sorted(os.environ),\n"
        "        signal.getsignal(signal.SIGTERM).__qualname__, 'examples' in sys.modules,\n"
        "        multiprocessing.get_start_method())\n"
        "    await send({'type': 'lifespan.startup.complete'})\n"
        "    await receive()\n"
    )
    command = [sys.executable, "-m", "uvicorn", "main:app", "--port", "0"]
    with serve("main:app", cwd=tmp_path) as forked:
        found = re.sub(r"\d{5,}", "N", forked.wait_for("^found").text)
    with start(command, cwd=tmp_path) as by_hand:
        assert re.sub(r"\d{5,}", "N", by_hand.wait_for("^found").text) == found


def test_a_line_is_waited_for_from_where_one_says():
    with serve(FIRST_TASK) as server:
        first = server.wait_for("INFO")
        second = server.wait_for("INFO", start=1)
    assert first.time <= second.time
    assert first is not second


def test_a_process_that_does_not_stop_is_reported_and_ended(tmp_path):
    (tmp_path / "main.py").write_text(
        "import time\nfrom starlette.applications import Starlette\n"
        "async def hang(app):\n    yield\n    time.sleep(60)\n"
        "from contextlib import asynccontextmanager\n"
        "app = Starlette(lifespan=asynccontextmanager(hang))\n"
    )
    still_there = r"still running after 0\.5 s"
    with (
        serve("main:app", cwd=tmp_path) as server,
        pytest.raises(ServerError, match=still_there),
    ):
        server.stop(timeout=0.5)
    wait_until_gone(server.process.pid)
