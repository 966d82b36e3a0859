"""The statements of docs/heavy-work.md."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import timeit
import tracemalloc
from contextlib import suppress
from multiprocessing import active_children
from pathlib import Path
from statistics import median

import psutil
import pytest
from fastapi.testclient import TestClient

from bench.latency import EXAMPLE, NAME
from examples.heavy_work import robust_pool
from recording.model import Latencies, Latency, load
from runner import Server, client, serve
from runner.process import FORKED, ROOT, lives
from tests.copying import changed
from tests.orders import ask_until
from tests.terminal import positions


def delays(series: list[Latency]) -> tuple[float, ...]:
    """The median time of an answer in seconds: idle, pool, one def, four def, async def.

    One answer that a busy machine holds up says nothing about a way.
    """
    return tuple(median(way.seconds) for way in series)


@pytest.mark.slow
def test_in_a_process_it_delays_others_least_and_in_async_def_most():
    """`def` tasks delay other requests, and an `async def` task stops them; a task in a process pool delays them least. The chart's run shows by how much."""
    assert EXAMPLE == "examples.heavy_work.three_ways:app"
    for path in ("/process-pool", "/def"):
        with serve(EXAMPLE) as server:
            client.post(server.url + path)
            server.wait_for("compute_forecast: started")
            client.get(f"{server.url}/ping", timeout=60)
            answered, done = positions(server, "GET /ping", "compute_forecast: done")
            assert answered < done
    idle, pool, one, four, loop = delays(load(Latencies, NAME).series)  # the chart
    assert idle < one < four / 4
    assert pool < one
    assert loop > 10 * idle


@pytest.mark.slow
def test_an_async_def_task_that_computes_lets_nothing_through():
    """While it computes, an `async def` task lets nothing through: a request that comes in meanwhile is answered after it."""
    with serve("examples.heavy_work.three_ways:app") as server:
        client.post(f"{server.url}/async-def")
        server.wait_for("compute_forecast: started")
        client.get(f"{server.url}/ping", timeout=60)
        done, answered = positions(server, "compute_forecast: done", "GET /ping")
    assert done < answered


def test_a_lambda_a_connection_and_a_result_that_is_one_cannot_be_pickled():
    """The function, its arguments and its result are pickled: a lambda, a connection, or a result that is one, raises in the task that waits."""
    with serve("examples.heavy_work.picklable:app") as server:
        client.post(f"{server.url}/jobs")
        server.wait_for("run_in_pool: ", nth=4)
        said = [x.text for x in server.lines if x.text.startswith("run_in_pool: ")]
    assert said[0] == "run_in_pool: 1"
    assert re.search("Can't (pickle|get local object) .*<lambda>", said[1])
    for text in said[2:]:
        assert "cannot pickle 'sqlite3.Connection'" in text


@pytest.mark.slow
def test_a_killed_process_takes_what_waits_in_the_pool_with_it():
    """When its process is killed, the pool is broken: what runs in it and what waits in it raises `BrokenProcessPool`."""
    with serve("examples.heavy_work.robust_pool:app") as server:
        client.post(f"{server.url}/forecasts/1984")
        client.post(f"{server.url}/forecasts/2021")
        server.wait_for("publish_forecast: 1984 lost, the process was killed")
        server.wait_for("publish_forecast: 2021 lost, the process was killed")


@pytest.mark.slow
def test_a_new_pool_takes_the_next():
    """A new pool takes the place of the broken one, and the next forecast is computed."""
    with serve("examples.heavy_work.robust_pool:app") as server:
        client.post(f"{server.url}/forecasts/1984")
        server.wait_for("publish_forecast: 1984 lost")
        client.post(f"{server.url}/forecasts/2021")
        server.wait_for("publish_forecast: 3029504670 for 2021")


@pytest.mark.parametrize(("method", "ends"), [("fork", False), ("spawn", True)])
def test_a_forked_process_ignores_sigterm(method: str, ends: bool):
    """A forked process has the server's signal handlers: it ignores `SIGTERM`. A spawned one ends, and breaks the pool."""
    with serve("examples.heavy_work.forked_pool:app") as server:
        pid = client.post(f"{server.url}/{method}").json()
        process = psutil.Process(pid)
        process.terminate()
        if ends:
            gone, _ = psutil.wait_procs([process], timeout=30)
            assert gone
        else:
            assert client.post(f"{server.url}/{method}").json() == pid


@pytest.mark.slow
@pytest.mark.parametrize(("method", "kept"), [("fork", True), ("spawn", False)])
def test_a_forked_process_keeps_the_port_of_a_killed_server(method: str, kept: bool):
    """After a `SIGKILL` of the server its pool's processes live on, and a forked one keeps the port: the next server cannot start."""
    with serve("examples.heavy_work.forked_pool:app") as server:
        pid = client.post(f"{server.url}/{method}").json()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(30)
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            in_use = again.connect_ex(server.address) == 0
        assert lives(pid)
    assert in_use == kept


OWN_PROCESS = "examples.processes_and_programs.own_process:app"


def peers(server: Server) -> set[int]:
    """The ports of those to whom the server has an open connection."""
    process = psutil.Process(server.process.pid)
    connections = getattr(process, "net_connections", None) or process.connections
    return {one.raddr.port for one in connections("tcp4") if one.raddr}


@pytest.mark.slow
def test_a_forked_process_keeps_open_connections_that_the_server_closes():
    """It holds every connection that was open when it began. One that uvicorn closes after `--timeout-keep-alive` stays open for the client: the request that it sends there next has no answer, and breaks off when the process ends."""
    with (
        serve(OWN_PROCESS, "--timeout-keep-alive", "1") as server,
        socket.create_connection(server.address) as kept,
    ):
        server.expect(FORKED)
        kept.sendall(b"POST /fork/60 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = b""
        while not (body := answer.partition(b"\r\n\r\n")[2]):
            answer += kept.recv(10_000)
        process = psutil.Process(int(body))
        client_port = kept.getsockname()[1]
        ask_until(lambda: client_port in peers(server), lambda open_: not open_, 30)
        kept.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        kept.settimeout(2)
        with pytest.raises(TimeoutError):
            kept.recv(10_000)
        process.kill()
        kept.settimeout(30)
        with suppress(ConnectionResetError):
            assert kept.recv(10_000) == b""


@pytest.mark.slow
@pytest.mark.parametrize(("method", "done"), [("fork", False), ("spawn", True)])
def test_a_lock_that_is_held_at_a_fork_stays_locked(
    method: str, done: bool, tmp_path: Path
):
    """A lock that any thread holds at that moment stays locked in a forked process for ever, and so does one inside a library: the process hangs. Of this Python 3.12 and later warn: `This process (pid=…) is multi-threaded, use of fork() may lead to deadlocks in the child`. One that was spawned has locks of its own."""
    changes = {
        "app = FastAPI()\n": "app = FastAPI()\nlock = threading.Lock()\n",
        "import time\n": "import threading\nimport time\n",
        "    process.start()\n    return": "    with lock:\n        process.start()\n    return",
        "    time.sleep(seconds)": "    with lock:\n        time.sleep(seconds)",
    }
    env = changed({}, tmp_path, OWN_PROCESS, changes)
    with serve("changed:app", env=env) as server:
        server.expect(FORKED)
        process = psutil.Process(client.post(f"{server.url}/{method}/0").json())
        server.wait_for("build_report: started")
        if done:
            server.wait_for("build_report: done")
        else:
            with pytest.raises(psutil.TimeoutExpired):
                process.wait(2)
            process.kill()


@pytest.mark.slow
def test_a_process_that_watches_its_parent_ends_with_a_killed_server():
    """A process that waits for its parent's end, in a thread, ends with a server that is killed."""
    with serve("examples.heavy_work.robust_pool:app") as server:
        client.post(f"{server.url}/forecasts/2020")
        line = server.wait_for("compute_forecast: 2020 done in process")
        process = psutil.Process(int(line.text.split()[-1]))
        server.process.send_signal(signal.SIGKILL)
        process.wait(30)


@pytest.mark.slow
def test_when_the_lifespan_ends_the_process_has_ended():
    """When the lifespan ends, the pool's process has ended too, as in a test with `TestClient`: nothing is left to wait for when Python exits."""
    with TestClient(robust_pool.app) as in_process:
        in_process.post("/forecasts/2020")
        assert active_children()
    assert not active_children()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_does_not_break_the_computation(number: signal.Signals):
    """`Ctrl+C` and some supervisors signal all processes at once. The server waits for the task, and the process computes on."""
    with serve("examples.heavy_work.robust_pool:app") as server:
        client.post(f"{server.url}/forecasts/2020")
        server.wait_for("compute_forecast: 2020 done in process")
        client.post(f"{server.url}/forecasts/2021")
        os.killpg(server.process.pid, number)
        server.wait_for("publish_forecast: 3029504670 for 2021")
        server.process.wait(30)


def test_a_waiting_thread_gets_the_interpreter_after_five_milliseconds():
    """A thread that waits for the interpreter asks for it after `sys.getswitchinterval()`, five milliseconds unless set."""
    asked = "import sys; print(sys.getswitchinterval())"
    printed = subprocess.check_output([sys.executable, "-c", asked], text=True)
    assert printed == "0.005\n"


def memory_left(name: str) -> float:
    """Which part of the memory that a job took is still there when it is done: about 0 to 1."""
    with serve("examples.heavy_work.memory:app") as server:
        assert client.post(f"{server.url}/{name}").status_code == 202
        end = server.wait_for(f"{name}: ").text
        peak = server.wait_for(r"(build_rows|read_pictures): \d+ MB").text
    before, after = map(int, re.findall(r"(\d+) MB", end))
    [most] = map(int, re.findall(r"(\d+) MB", peak))
    assert most > before + 50
    return (after - before) / (most - before)


@pytest.mark.slow
def test_memory_comes_down_when_nothing_is_kept():
    """400,000 rows are built and dropped: most of their memory is given back, without `gc.collect()`."""
    assert memory_left("forget") < 0.4


@pytest.mark.slow
def test_one_row_of_500_keeps_the_memory_of_all():
    """One row in every 500 is kept: nine tenths of the memory stays."""
    assert memory_left("keep") > 0.9


@pytest.mark.slow
def test_a_process_that_ends_gives_all_of_it_back():
    """The same rows are kept, built by a process that ends: the app grows by less than a tenth of it."""
    assert memory_left("keep-from-a-process") < 0.1


@pytest.mark.slow
def test_malloc_trim_gives_back_what_the_c_library_holds():
    """3,000 pictures of 50 kB are dropped: a fifth of their memory at least stays with the C library. `malloc_trim` gives it back."""
    assert memory_left("read-pictures") > 0.2
    assert memory_left("read-pictures-and-trim") < 0.1


@pytest.mark.slow
def test_two_snapshots_name_the_line_whose_memory_grows():
    """The first answer of `/growth` names what Python has set up. After 300 further requests the next one names the line that fills the dict first, with 300 objects more; after none, no such line."""
    with serve("examples.heavy_work.growth:app", "--no-access-log") as server:

        def growth(requests: int) -> list[str]:
            for _ in range(requests):
                client.post(f"{server.url}/reports")
            return client.get(f"{server.url}/growth").json()

        source = (ROOT / "examples/heavy_work/growth.py").read_text().splitlines()
        [line] = [n for n, text in enumerate(source, 1) if "done" in text]
        growth(10)
        first = growth(300)[0]
        assert re.search(rf"growth.py:{line}: .*count=\d+ \(\+30\d\)", first), first
        after = growth(0)
        assert not any(f"growth.py:{line}:" in told for told in after)
        assert not any("tracemalloc.py" in told for told in after)


def test_tracemalloc_makes_what_creates_objects_slower():
    """While `tracemalloc` traces, a line that makes small objects takes more than one and a half times as long."""
    statement = "[str(number) for number in range(20_000)]"

    def seconds() -> float:
        return min(
            timeit.repeat(statement, repeat=7, number=3, timer=time.process_time)
        )

    without = seconds()
    tracemalloc.start()
    try:
        assert seconds() > 1.5 * without
    finally:
        tracemalloc.stop()
