"""The statements of docs/call-other-services.md."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from runner import Server, new_client, serve
from tests.copying import changed
from tests.listening import Silent, listening
from tests.load import post_at_once
from tests.services import in_a_thread

ONE_CLIENT = "examples.call_other_services.one_client:app"


class Partner(ThreadingHTTPServer):
    """A service that answers nobody before it is told to."""

    daemon_threads = True
    request_queue_size = 200

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def env(self) -> dict[str, str]:
        """What the example finds in its environment."""
        return {"PARTNER": f"http://127.0.0.1:{self.server_port}/partner"}


class _Handler(Silent):
    def do_POST(self) -> None:
        assert isinstance(self.server, Partner)
        self.server.may_answer.wait(60)
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def partner() -> Iterator[Partner]:
    with listening(Partner()) as partner:
        yield partner
        partner.may_answer.set()


def ask_at_once(server: Server, path: str, times: int) -> None:
    """Send so many orders to the partner, all of whom have their answer."""
    assert set(post_at_once(server, path, times)) == {200}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="needs Linux")
@pytest.mark.parametrize("one_client", [True, False], ids=["one", "one each"])
def test_a_client_for_each_call_takes_files_until_nobody_is_answered(
    one_client: bool, partner: Partner, tmp_path: Path
):
    """A connection is an open file, and so is each that a client of its own opens. With a limit of 64 such calls fail, `[Errno 24] Too many open files`, and the server accepts no request any more: `socket.accept() out of system resource`. With one client for all calls it accepts them."""
    each = (
        {}
        if one_client
        else {"await by.post(PARTNER)": "await httpx.AsyncClient().post(PARTNER)"}
    )
    env = changed(partner.env, tmp_path, ONE_CLIENT, each)
    with serve("changed:app", env=env) as server:
        server.expect("Too many open files|out of system resource")
        psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE, (64, 64))
        with new_client(base_url=server.url) as kept, suppress(httpx.TransportError):
            for order in range(80):  # a task that fails takes the connection with it
                kept.post(f"/patient/{order}")
        with ExitStack() as idle, new_client(base_url=server.url, timeout=3) as another:
            if one_client:
                assert another.get("/openapi.json").status_code == 200
            else:
                server.wait_for("Errno 24.*Too many open files")
                for _ in range(64):  # more than it may accept
                    idle.enter_context(socket.create_connection(server.address))
                server.wait_for("accept.* out of system resource")
                with pytest.raises(httpx.TimeoutException):
                    another.get("/openapi.json")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "limits", "calls", "delivered"),
    [
        ("httpx", "limits=LIMITS, ", 4, 2),
        ("httpx2", "limits=LIMITS, ", 4, 2),
        ("httpx", "", 101, 100),
    ],
)
def test_a_call_that_waits_too_long_for_a_connection_is_a_pool_timeout(
    library: str,
    limits: str,
    calls: int,
    delivered: int,
    partner: Partner,
    tmp_path: Path,
):
    """With two connections and four calls, two raise `PoolTimeout`, also with `httpx2`. Unless told otherwise a client has a hundred connections, and waits five seconds for one: of 101 calls one raises it."""
    assert httpx.AsyncClient().timeout.pool == 5
    other = {
        "import httpx\n": f"import {library} as httpx\n",
        "limits=LIMITS, ": limits,
    }
    env = changed(partner.env, tmp_path, ONE_CLIENT, other)
    with serve("changed:app", env=env) as server:
        ask_at_once(server, "/at-once/1", calls)
        server.wait_for("deliver: 1: PoolTimeout", nth=calls - delivered)
        partner.may_answer.set()
        server.wait_for("deliver: 1: done", nth=delivered)


@pytest.mark.slow
@pytest.mark.parametrize(("way", "late"), [("in-turn", 3), ("patient", 1)])
def test_who_waits_elsewhere_or_without_a_limit_gets_a_connection(
    way: str, late: int, partner: Partner
):
    """Behind a semaphore of two, or with `pool=None`, all four are delivered."""
    with serve(ONE_CLIENT, env=partner.env) as server:
        ask_at_once(server, f"/{way}/1", 4)
        ask_at_once(server, "/at-once/2", 3)
        # The others wait for longer, and nobody's wait ends with an answer: see below.
        server.wait_for("deliver: 2: PoolTimeout", nth=late)
        partner.may_answer.set()
        server.wait_for("deliver: 1: done", nth=4)
        assert "deliver: 1: PoolTimeout" not in server.transcript()


def lost(server: Server, times: int) -> bool:
    """Whether a call that is alone finds no connection, after so many times ten calls."""
    for number in range(times):
        ask_at_once(server, f"/at-once/1{number}", 10)
        server.wait_for(f"deliver: 1{number}: ", nth=10)
        ask_at_once(server, f"/at-once/2{number}", 1)
        alone = server.wait_for(f"deliver: 2{number}: ")
        if "PoolTimeout" in alone.text:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "pool", "times", "lost_for_good"),
    [
        ("httpx", "0.01", 500, True),
        ("httpx", "None", 50, False),
        ("httpx2", "0.01", 50, False),
    ],
)
def test_a_connection_given_to_a_call_that_has_just_timed_out_is_lost(
    library: str,
    pool: str,
    times: int,
    lost_for_good: bool,
    partner: Partner,
    tmp_path: Path,
):
    """With httpx 0.28 and a short `pool`, ten calls at once, again and again, soon take all connections of the client away: from then on each call is a `PoolTimeout`, also one that is alone. With `pool=None`, or with `httpx2`, none is."""
    partner.may_answer.set()
    other = {
        "import httpx\n": f"import {library} as httpx\n",
        "pool=1": f"pool={pool}",
    }
    env = changed(partner.env, tmp_path, ONE_CLIENT, other)
    with serve("changed:app", env=env) as server:
        assert lost(server, times) == lost_for_good
        if lost_for_good:
            ask_at_once(server, "/at-once/3", 20)
            server.wait_for("deliver: 3: PoolTimeout", nth=20)


def test_a_name_is_not_looked_up_while_the_threads_of_the_loop_are_taken(
    partner: Partner,
):
    """asyncio's own event loop looks up names in the threads of its default executor, those of `asyncio.to_thread`. While these are all taken, a call to a service by its name is a `ConnectTimeout`; one by its address is answered."""

    async def call(host: str, may_end: threading.Event) -> int:
        with ThreadPoolExecutor(1) as executor:
            asyncio.get_running_loop().set_default_executor(executor)
            working = asyncio.create_task(asyncio.to_thread(may_end.wait))
            await asyncio.sleep(0)
            try:
                async with httpx.AsyncClient(
                    timeout=httpx.Timeout(30, connect=3)
                ) as one:
                    url = f"http://{host}:{partner.server_port}/partner"
                    return (await one.post(url)).status_code
            finally:
                may_end.set()
                await working

    partner.may_answer.set()
    assert in_a_thread(call("127.0.0.1", threading.Event())).result() == 204
    with pytest.raises(httpx.ConnectTimeout):
        in_a_thread(call("localhost", threading.Event())).result()
