"""The statements of docs/loops-in-the-app.md."""

from signal import SIGINT, SIGTERM, Signals

import httpx
import pytest

from runner import client, serve
from runner.process import PYTHON, free_port, start

REFRESH = "examples.loops_in_the_app.refresh:app"


def test_the_start_does_not_wait_for_the_loop():
    """The app has started, and answers, before the first round is done."""
    with serve(REFRESH) as server:
        assert client.get(f"{server.url}/rounds").status_code == 200
        server.wait_for("round 1: done")
        printed = server.transcript()
    assert printed.index("startup complete") < printed.index("round 1: done")


def test_a_loop_that_is_awaited_in_the_lifespan_keeps_the_app_from_starting():
    """Awaited in the lifespan, the loop runs, and the app never starts: nobody listens at its port."""
    port = free_port()
    target = "examples.loops_in_the_app.never_started:app"
    command = (*PYTHON, "uvicorn", target, "--port", str(port))
    with start(command, ready="Waiting for application") as server:
        server.wait_for("a round", nth=2)
        with pytest.raises(httpx.ConnectError):
            client.get(f"http://127.0.0.1:{port}/ping")
        assert "startup complete" not in server.transcript()


def test_a_round_that_fails_is_logged_and_the_next_one_follows():
    """A round that raises is logged, and the next one runs."""
    with serve(REFRESH) as server:
        server.wait_for("round 3: done")
        printed = server.transcript()
        rounds = client.get(f"{server.url}/rounds").json()
    assert printed.index("ConnectionError") < printed.index("round 3: started")
    assert "round 2: done" not in printed
    assert rounds["done"] < rounds["started"]


@pytest.mark.parametrize("sent", [SIGTERM, SIGINT])
def test_the_loop_is_cancelled_and_awaited_before_the_lifespan_goes_on(sent: Signals):
    """When the server is asked to stop, the loop has ended before the lifespan goes on."""
    with serve(REFRESH) as server:
        server.wait_for("round 1: started")
        server.stop(sent)
        printed = server.transcript()
    assert printed.index("the loop has ended") < printed.index("the lifespan goes on")
    assert "round 1: done" not in printed
