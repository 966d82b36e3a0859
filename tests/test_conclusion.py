"""The statements of docs/conclusion.md."""

from statistics import mean

import httpx
import pytest

from runner import serve


def test_a_blocking_call_in_an_async_def_task_stops_every_other_request():
    """While an `async def` task makes a blocking call, another request gets no answer."""
    with (
        serve("examples.conclusion.blocking_call:app") as server,
        httpx.Client(base_url=server.url) as client,
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


@pytest.mark.slow
def test_a_computation_in_a_def_task_slows_every_other_request():
    """While a `def` task computes, other requests take more than twice as long on average."""
    with (
        serve("examples.conclusion.heavy_computation:app") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        client.get("/ping")  # connects
        idle = [client.get("/ping").elapsed.total_seconds() for _ in range(50)]
        accepted = client.post("/forecast")
        server.wait_for("compute_forecast: started")
        busy = [client.get("/ping").elapsed.total_seconds() for _ in range(50)]
        still_computing = not any("done" in line.text for line in server.lines)
        server.wait_for("compute_forecast: done")
    assert accepted.json() == {"message": "Task has been queued"}
    assert still_computing
    assert mean(busy) > 2 * mean(idle)
