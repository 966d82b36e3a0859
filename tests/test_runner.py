"""The runner: a real process, started, watched, and never left behind."""

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import psutil
import pytest

from runner import ServerError, serve
from runner.nursery import Process
from runner.process import PYTHON, ROOT, complete, free_port, frozen, lives, start, tree
from tests.orders import ask_until
from tests.services import running

pytestmark = pytest.mark.slow

FIRST_TASK = "examples.background_tasks.first_task:app"


def wait_until_gone(pid: int) -> None:
    ask_until(lambda: lives(pid), lambda now: not now, 10)


def test_the_process_is_gone_when_the_block_fails():
    with pytest.raises(ZeroDivisionError), serve(FIRST_TASK) as server:
        raise ZeroDivisionError
    wait_until_gone(server.process.pid)


def test_the_children_of_the_process_are_gone_too():
    with serve(FIRST_TASK, "--workers", "2") as server:
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


FINDS = """
import asyncio, concurrent.futures, gc, json, multiprocessing, os, pathlib, resource, signal, sys, threading, warnings

def found():
    main = sys.modules["__main__"]
    streams = [sys.stdin, sys.stdout, sys.stderr]
    return {
        "path": sys.path, "argv": sys.argv, "flags": list(sys.flags),
        "folder": os.getcwd(), "environment": dict(os.environ), "umask": os.umask(0o22),
        "main": [main.__name__, main.__file__, main.__spec__.name, main.__package__],
        "signals": {s.name: str(getattr(signal.getsignal(s), "__qualname__", signal.getsignal(s)))
                    for s in signal.valid_signals() if isinstance(s, signal.Signals)},
        "mask": list(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "streams": [[type(s.buffer).__name__, type(s.buffer.raw).__name__ if hasattr(s.buffer, "raw") else "",
                     s.encoding, s.errors, s.name, s.mode, s.isatty(), s.line_buffering, s.write_through]
                    for s in streams],
        "original streams": [s.fileno() for s in (sys.__stdin__, sys.__stdout__, sys.__stderr__)],
        "descriptors": len(os.listdir("/proc/self/fd")),
        "leads its group and session": [os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid()],
        "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
        "threads": [t.name for t in threading.enumerate()],
        "the next ones": [asyncio.current_task().get_name(), threading.Thread().name,
                          concurrent.futures.ThreadPoolExecutor()._thread_name_prefix],
        "warnings": [str(w) for w in warnings.filters],
        "garbage collection": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "processes": [multiprocessing.get_start_method(), str(multiprocessing.parent_process())],
        "loop": str(type(asyncio.get_running_loop())),
        "writes bytecode": not sys.dont_write_bytecode,
        "modules": sorted(sys.modules),
        "command line": pathlib.Path("/proc/self/cmdline").read_text().split("\\0"),
    }

async def app(scope, receive, send):
    await receive()
    print("found " + json.dumps(found()), flush=True)
    await send({"type": "lifespan.startup.complete"})
    await receive()
"""


def what_it_finds(folder: Path, *, fork: bool, path: str = "") -> dict[str, Any]:
    """What a server of `FINDS` has found, with `path` as its PYTHONPATH."""
    (folder / "main.py").write_text(FINDS)
    command = (*PYTHON, "uvicorn", "main:app", "--port", "0")
    env = {"PYTHONPATH": path} if path else {}
    with start(command, cwd=folder, env=env, fork=fork) as server:
        found = server.wait_for("^found ").text.removeprefix("found ")
    return dict(json.loads(found))


@pytest.mark.parametrize("path", ["", "/tmp:/nowhere"])
def test_a_forked_server_finds_what_one_started_by_hand_finds(path, tmp_path):
    """All but the modules that are imported already, and what `ps` shows of the command."""
    path = path.replace("/tmp", str(tmp_path / "more"))
    forked = what_it_finds(tmp_path, fork=True, path=path)
    by_hand = what_it_finds(tmp_path, fork=False, path=path)
    assert forked["command line"] != by_hand["command line"]
    assert {*forked["modules"]} > {*by_hand["modules"]}
    ours = (
        "bench",
        "pytest",
        "recording",
        "runner",
        "tests",
        "theme",
        "xdist",
        "_pytest",
    )
    assert not {name.partition(".")[0] for name in forked["modules"]} & {*ours}
    for what in by_hand.keys() - {"command line", "modules"}:
        assert forked[what] == by_hand[what], what


@pytest.mark.parametrize("name", ["sqlalchemy", "sitecustomize"])
def test_a_server_with_modules_of_its_own_is_started_anew(name, tmp_path):
    """One whose PYTHONPATH has what the nursery has imported, or Python would at its start."""
    (tmp_path / "more").mkdir()
    (tmp_path / f"more/{name}.py").touch()
    found = what_it_finds(tmp_path, fork=True, path=str(tmp_path / "more"))
    assert "uvicorn" in found["command line"]


def test_what_threads_print_at_the_same_time_are_whole_lines(tmp_path):
    (tmp_path / "main.py").write_text(
        "import threading\n"
        "def print_lines():\n"
        "    for _ in range(2000):\n"
        "        print('one line')\n"
        "async def app(scope, receive, send):\n"
        "    threads = [threading.Thread(target=print_lines) for _ in range(4)]\n"
        "    for thread in threads: thread.start()\n"
        "    for thread in threads: thread.join()\n"
        "    await receive()\n"
        "    await send({'type': 'lifespan.startup.complete'})\n"
        "    await receive()\n"
    )
    with serve("main:app", cwd=tmp_path) as server:
        assert sum(line.text == "one line" for line in server.lines) == 8000


def test_a_line_that_two_processes_share_counts_twice():
    said = "print('order 1 done', end=''); print('order 2 done')"
    with start((sys.executable, "-c", said), ready=None) as once:
        line = once.wait_for(r"order \d done", nth=2)
    assert line.text == "order 1 doneorder 2 done"


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


def test_a_command_that_fails_is_reported_with_what_it_said():
    script = "print('no such table'); raise SystemExit(3)"
    with pytest.raises(ServerError, match="ended with 3:\n  no such table"):
        complete((sys.executable, "-c", script), env={})


def test_a_command_that_is_not_there_is_reported():
    with pytest.raises(ServerError, match="no-such-program: No such file"):
        complete(("no-such-program",), env={})


def test_a_service_runs_whatever_the_test_before_has_done_to_it():
    """Frozen by a block that fails, or killed and left so."""
    redis = running("redis")
    with pytest.raises(ZeroDivisionError), redis.frozen():
        raise ZeroDivisionError
    assert answers(redis.port)
    redis.kill()
    assert not redis.runs
    assert running("redis") is redis
    assert answers(redis.port)


def test_what_is_frozen_gets_no_time_at_all():
    """All threads of it and of what it has started, from the first moment of the block."""
    script = (
        "import os, threading\n"
        "os.fork()\n"
        "for _ in range(3):\n"
        "    threading.Thread(target=lambda: all(iter(lambda: 1, 0))).start()\n"
        "print('busy', flush=True)\n"
    )

    def used() -> list[float]:
        return [sum(one.cpu_times()[:2]) for one in processes]

    command = (sys.executable, "-c", script)
    with start(command, ready="busy", fork=False) as server:
        server.wait_for("busy", nth=2)
        processes = tree(server.process.pid)
        assert len(processes) == 2
        for _ in range(20):
            with frozen(one.pid for one in processes):
                if psutil.LINUX:
                    threads = [each.id for one in processes for each in one.threads()]
                    states = {psutil.Process(each).status() for each in threads}
                    assert states == {psutil.STATUS_STOPPED}
                before = used()
                time.sleep(0.05)
                assert used() == before
        ask_until(used, lambda now: min(now[0] - before[0], now[1] - before[1]) > 0, 60)
        server.kill()


def answers(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(100) == b"+PONG\r\n"


def test_several_threads_may_wait_for_the_end_of_a_process():
    read, write = os.pipe()
    command = [sys.executable, "-c", "pass"]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            process = Process(command, write, cwd=ROOT, env={})
            waiting = [threads.submit(process.wait, 60) for _ in range(8)]
            assert [each.result(60) for each in waiting] == [0] * 8
    os.close(read)
    os.close(write)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a port's name")
def test_a_free_port_is_given_to_nobody_else():
    """Though nobody listens there yet."""
    mine = free_port()
    command = [sys.executable, "-c", ANOTHER, str(mine)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) != mine


ANOTHER = """
import secrets, sys
choose, taken = secrets.choice, [int(sys.argv[1])]
secrets.choice = lambda ports: taken.pop() if taken else choose(ports)
from runner.process import free_port
print(free_port())
"""
