"""The statements of docs/event-loop-errors.md."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from signal import SIGINT

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from runner import Server, client, serve
from runner.process import ROOT
from tests.services import in_a_thread
from tests.terminal import positions

pytestmark = pytest.mark.slow

APP = "examples.event_loop_errors.two_loops:app"


@contextmanager
def served() -> Iterator[Server]:
    """What its loops leave is collected sooner or later, with a warning."""
    with serve(APP) as server:
        server.expect("ResourceWarning: unclosed (transport|<socket)")
        yield server


def test_a_client_shared_by_two_loops_fails_every_second_time():
    """A client that is used in a new loop each time fails with `Event loop is closed` every second time."""
    with served() as server:
        for number in (1, 2):
            client.post(f"{server.url}/new-loop")
            server.wait_for("deliver: 200", nth=number)
            client.post(f"{server.url}/new-loop")
            server.wait_for("RuntimeError: Event loop is closed", nth=number)


def test_the_request_that_fails_may_have_been_sent():
    """The call that fails has reached the other side: to try it again would deliver twice."""
    with served() as server:
        client.post(f"{server.url}/new-loop")
        server.wait_for("deliver: 200")
        client.post(f"{server.url}/new-loop")
        server.wait_for("RuntimeError: Event loop is closed")
        server.wait_for("GET /partner", nth=2)


def test_on_the_servers_loop_one_client_serves_all():
    """In the server's loop the same client works every time, from a `def` task too."""
    with served() as server:
        for number in (1, 2, 3):
            client.post(f"{server.url}/servers-loop")
            server.wait_for("deliver: 200", nth=number)
        server.stop()
    assert "RuntimeError" not in server.transcript()


def test_asyncio_run_in_an_async_task_fails_before_it_begins():
    """In an `async def` task `asyncio.run` fails, and what it was given is never awaited."""
    with served() as server:
        client.post(f"{server.url}/inside-a-loop")
        server.wait_for("cannot be called from a running event loop")
        server.wait_for("coroutine 'deliver' was never awaited")
        server.stop()
    assert "deliver: 200" not in server.transcript()


ONE_CLIENT_IN_LOOPS = """
import asyncio, httpx, sys
client = httpx.AsyncClient()
async def deliver():
    return (await client.get(sys.argv[1])).status_code
"""
IN_EACH = (
    ONE_CLIENT_IN_LOOPS
    + """
print(asyncio.run(deliver()))
try:
    asyncio.run(client.aclose())
except RuntimeError as error:
    print(error)
"""
)
IN_ONE = (
    ONE_CLIENT_IN_LOOPS
    + """
with asyncio.Runner() as runner:
    print([runner.run(deliver()) for _ in range(3)])
    runner.run(client.aclose())
"""
)
ONE_CLIENT_EACH = """
import asyncio, httpx, sys
async def deliver():
    async with httpx.AsyncClient() as client:
        return (await client.get(sys.argv[1])).status_code
print([asyncio.run(deliver()) for _ in range(3)])
"""


def printed(script: str, *arguments: str) -> str:
    """Run a script with ``python``, every warning an error; all that it printed."""
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    return ended.stdout


def test_a_client_cannot_be_closed_in_another_loop():
    """A client that is closed in another loop than the one it was used in raises `Event loop is closed`, though all its requests have succeeded."""
    with served() as server:
        said = printed(IN_EACH, f"{server.url}/partner")
    assert said.startswith("200\nEvent loop is closed\n")


@pytest.mark.parametrize("script", [IN_ONE, ONE_CLIENT_EACH], ids=["runner", "each"])
def test_in_a_worker_one_loop_or_a_client_for_each_loop_works(script: str):
    """In a script without a server, one `asyncio.Runner` for all jobs works with one client, and so does a client that each job opens and closes."""
    with served() as server:
        assert printed(script, f"{server.url}/partner") == "[200, 200, 200]\n"


BOUND = "examples.event_loop_errors.bound_to_a_loop:app"


def test_a_task_of_another_loop_cannot_be_awaited():
    """A task, or another future, of the server's loop cannot be awaited in a loop of `asyncio.run`: `attached to a different loop`."""
    with serve(BOUND) as server:
        client.post(f"{server.url}/prices")
        line = server.wait_for("RuntimeError: Task .* attached to a different loop")
        assert "got Future" in line.text


def test_a_lock_works_in_every_loop_as_long_as_nobody_waits():
    """As long as nobody has to wait for it, a lock works in every loop."""
    with serve(BOUND) as server:
        for number, path in enumerate(
            ("/catalogue", *["/catalogue-in-a-new-loop"] * 2)
        ):
            client.post(server.url + path)
            server.wait_for("write_catalogue: done", nth=number + 1)


def test_a_lock_belongs_to_the_loop_in_which_somebody_waited_first():
    """It belongs to the first loop in which somebody had to wait. Whatever has to wait in another gets `is bound to a different event loop`."""
    with serve(BOUND) as server:
        for path in ("/catalogue", "/catalogue", "/catalogue-in-a-new-loop"):
            client.post(server.url + path)
        server.wait_for("RuntimeError: .* is bound to a different event loop")
        server.wait_for("write_catalogue: done", nth=2)


def test_who_waits_in_another_loop_first_is_never_woken():
    """If the first to wait is in another loop, it is never woken, and from then on the lock fails in the server's loop too."""
    with serve(BOUND) as server:
        client.post(f"{server.url}/catalogue")
        client.post(f"{server.url}/catalogue-in-a-new-loop")
        server.wait_for("write_catalogue: asked", nth=2)
        server.wait_for("write_catalogue: done")
        client.post(f"{server.url}/catalogue")
        server.wait_for("RuntimeError: .* is bound to a different event loop")
        said = [line.text for line in server.lines]
    assert said.count("write_catalogue: done") == 1


NO_LOOP = "examples.event_loop_errors.no_loop_here:app"


def test_a_library_that_starts_a_loop_runs_in_a_def_task():
    """A library that calls `asyncio.run` fails in an `async def` task and works in a `def` task."""
    with serve(NO_LOOP) as server:
        server.expect("coroutine 'ask' was never awaited")
        client.post(f"{server.url}/loop")
        server.wait_for("cannot be called from a running event loop")
        client.post(f"{server.url}/thread")
        server.wait_for("call_in_a_thread: done")
        server.stop()
    assert "call_on_the_loop: done" not in server.transcript()


def test_a_running_loop_cannot_be_run_again():
    """`run_until_complete` in `async def` code raises `This event loop is already running`."""
    with serve(NO_LOOP) as server:
        server.expect("coroutine 'ask' was never awaited")
        client.post(f"{server.url}/old-loop")
        server.wait_for("RuntimeError: This event loop is already running")


def test_a_worker_thread_has_no_current_event_loop():
    """`asyncio.get_event_loop()` in a `def` task raises `There is no current event loop in thread 'AnyIO worker thread'`."""
    with serve(NO_LOOP) as server:
        client.post(f"{server.url}/old-thread")
        server.wait_for(
            "RuntimeError: There is no current event loop in thread 'AnyIO worker thread'"
        )


def test_an_old_library_works_with_a_loop_of_the_thread():
    """With a loop that is set for the thread, the library works in a `def` task, every time."""
    with serve(NO_LOOP) as server:
        for number in (1, 2):
            client.post(f"{server.url}/old-thread-with-a-loop")
            server.wait_for("old_call_with_a_loop: done", nth=number)


def nested(*options: str) -> AbstractContextManager[Server]:
    """Serve the example with ``nest_asyncio``, uvloop at hand."""
    folder = ROOT / ".cache/event_loop_errors"
    if not folder.exists():
        pytest.skip("needs uvloop: make .cache/event_loop_errors")
    return serve(
        "examples.event_loop_errors.nested:app",
        *options,
        env={"PYTHONPATH": str(folder)},
    )


def test_nest_asyncio_cannot_patch_uvloop():
    """With uvloop `nest_asyncio.apply()` raises `Can't patch loop of type`. In a `def` task, where no loop runs, the same call works."""
    with nested() as server:
        client.post(f"{server.url}/loop")
        server.wait_for("ValueError: Can't patch loop of type <class 'uvloop.Loop'>")
        client.post(f"{server.url}/thread")
        server.wait_for("call_in_a_thread: done")


def test_with_asyncios_loop_it_can():
    """Under `uvicorn --loop asyncio` it works on the loop too."""
    with nested("--loop", "asyncio") as server:
        client.post(f"{server.url}/loop")
        server.wait_for("call_on_the_loop: done")


def test_nest_asyncio_changes_asyncio_for_the_whole_process():
    """`nest_asyncio.apply()` in one thread replaces `asyncio.run`, `Task` and `Future` for the whole process, the server included."""
    after = "import asyncio, nest_asyncio\nloop = asyncio.new_event_loop()\n"
    after += "nest_asyncio.apply(loop)\nloop.close()\n"
    ask = "print(asyncio.run.__module__, asyncio.Task.__module__, asyncio.Future.__module__)"
    changed = printed(after + ask)
    assert changed == "nest_asyncio asyncio.tasks asyncio.futures\n"
    assert printed(f"import asyncio\n{ask}") == "asyncio.runners _asyncio _asyncio\n"


OWN_THREAD = "examples.event_loop_errors.from_own_thread:app"


def test_a_thread_of_ones_own_needs_a_token_or_the_loop():
    """In a thread that AnyIO has not started `from_thread.run` raises `NoEventLoopError`. With a token that the lifespan has taken it works, and so does `run_coroutine_threadsafe`."""
    with serve(OWN_THREAD) as server:
        client.post(f"{server.url}/readings")
        server.wait_for("without_token: NoEventLoopError")
        server.wait_for("with_token: saved")
        server.wait_for("with_the_loop: saved")


def test_on_the_loop_result_waits_for_itself():
    """On the loop `run_coroutine_threadsafe(...).result()` waits for itself, here until its timeout of two seconds, and no request is answered meanwhile."""
    with serve(OWN_THREAD) as server:
        client.post(f"{server.url}/readings-on-the-loop")
        client.get(f"{server.url}/ping")
        gave_up, answered = positions(server, "with_the_loop: TimeoutError", "/ping")
    assert gave_up < answered


WITH_TEST_CLIENT = """
import os, sys
os.environ["PARTNER"] = sys.argv[1]
from fastapi.testclient import TestClient
from examples.event_loop_errors.client_in_the_lifespan import app
def ask(client, path):
    try:
        return client.get(path).json()
    except Exception as error:
        return str(error)
"""
WITHOUT_WITH = (
    WITH_TEST_CLIENT
    + """
client = TestClient(app)
print([ask(client, sys.argv[2]) for _ in range(3)])
"""
)
WITH_WITH = (
    WITH_TEST_CLIENT
    + """
with TestClient(app) as client:
    print([ask(client, sys.argv[2]) for _ in range(3)])
"""
)


def test_without_with_each_request_of_a_test_client_has_a_loop_of_its_own():
    """`TestClient(app)` makes a loop for each request; in `with TestClient(app) as client:` all have one."""
    assert printed(WITHOUT_WITH, "", "/loops") == "[1, 2, 3]\n"
    assert printed(WITH_WITH, "", "/loops") == "[1, 1, 1]\n"


def test_a_client_made_at_import_fails_in_every_second_request_of_a_test_client():
    """So with `TestClient(app)` a client made at import fails in every second request. In `with` it works."""
    with served() as server:
        asked = f"{server.url}/partner", "/made-at-import"
        assert "[200, 'Event loop is closed', 200]\n" in printed(WITHOUT_WITH, *asked)
        assert "[200, 200, 200]\n" in printed(WITH_WITH, *asked)


def test_the_lifespan_runs_only_in_with():
    """The lifespan, and the client that it makes, are there only in `with`: without it `request.state` has no `client`."""
    with served() as server:
        asked = f"{server.url}/partner", "/made-in-the-lifespan"
        assert printed(WITH_WITH, *asked) == "[200, 200, 200]\n"
        assert "no attribute 'client'" in printed(WITHOUT_WITH, *asked)


def test_under_a_server_the_client_of_the_lifespan_serves_all_and_is_closed():
    """Under a server the lifespan's client serves every request, and the server ends without a complaint."""
    with served() as partner:
        env = {"PARTNER": f"{partner.url}/partner"}
        target = "examples.event_loop_errors.client_in_the_lifespan:app"
        with serve(target, env=env) as server:
            for _ in range(3):
                answer = client.get(f"{server.url}/made-in-the-lifespan")
                assert answer.json() == 200
            server.stop()
            said = server.transcript()
    assert "Error" not in said
    assert "Warning" not in said


POOLS = "examples.event_loop_errors.pool_is_gone:app"


def test_a_pool_that_its_with_has_shut_down_takes_no_task():
    """The task of a pool that is shut down with the endpoint fails. With the pool of the lifespan it runs."""
    with serve(POOLS) as server:
        client.post(f"{server.url}/pool-of-the-endpoint")
        server.wait_for("RuntimeError: cannot schedule new futures after shutdown")
        client.post(f"{server.url}/pool-of-the-lifespan")
        server.wait_for("convert_prices: done")


def test_a_thread_that_goes_on_meets_the_interpreters_shutdown():
    """After Ctrl+C the server has ended, and a thread of its own goes on until it hands something to a pool: `cannot schedule new futures after shutdown`, or `after interpreter shutdown`."""
    with serve(POOLS) as server:
        client.post(f"{server.url}/thread")
        server.wait_for("convert_prices: done")
        server.stop(SIGINT)
        order = positions(
            server,
            "Finished server process",
            "RuntimeError: cannot schedule new futures after ",
        )
    assert order == sorted(order)


LEFT = "examples.event_loop_errors.left_elsewhere:app"


def test_a_task_group_is_left_in_the_task_that_entered_it():
    """Left in another request, it raises `Attempted to exit cancel scope in a different task than it was entered in`, and the client gets a `500`."""
    with serve(LEFT) as server:
        client.post(f"{server.url}/connection")
        assert client.delete(f"{server.url}/connection").status_code == 500
        server.wait_for(
            "RuntimeError: Attempted to exit cancel scope in a different task than it "
            "was entered in"
        )


@pytest.mark.parametrize("left_in", ["the endpoint's generator", "its own"])
def test_a_stream_is_another_task_than_its_endpoint(left_in: str):
    """So are an endpoint and its stream: `StreamingResponse` runs the generator in a task of its own. What the endpoint has entered the generator cannot leave; let the generator enter it, around its `yield`s."""
    app = FastAPI()

    @app.get("/answer")
    async def answer() -> StreamingResponse:
        group = anyio.create_task_group()
        if left_in != "its own":
            await group.__aenter__()

        async def words() -> AsyncIterator[str]:
            if left_in == "its own":
                await group.__aenter__()
            yield "Tea is ready"
            await group.__aexit__(None, None, None)

        return StreamingResponse(words())

    async def ask() -> str:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as one:
            return (await one.get("/answer")).text

    if left_in == "its own":
        assert in_a_thread(ask()).result() == "Tea is ready"
    else:
        with pytest.raises(RuntimeError, match="exit cancel scope in a different task"):
            in_a_thread(ask()).result()


def test_one_task_enters_it_waits_and_leaves_it():
    """One task enters it, waits for an event, and leaves it: the client gets its `204` when all in the group has ended."""
    with serve(LEFT) as server:
        client.post(f"{server.url}/held")
        assert client.delete(f"{server.url}/held").status_code == 204
        ended, answered = positions(server, "listen: ended", "DELETE /held")
    assert ended < answered


def test_in_an_async_test_the_app_behind_TestClient_has_another_loop():
    """In an `async def` test the app behind `TestClient` runs on another loop, in another thread, and the test's loop stands still meanwhile. Behind `AsyncClient` it runs on the test's own, so that both may use what a fixture has opened."""
    app = FastAPI()

    @app.get("/loop")
    async def loop() -> int:
        return id(asyncio.get_running_loop())

    async def a_test() -> None:
        ours = id(asyncio.get_running_loop())
        with TestClient(app) as client:
            assert client.get("/loop").json() != ours
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as one:
            assert (await one.get("/loop")).json() == ours

    in_a_thread(a_test()).result()
