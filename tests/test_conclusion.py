"""The statements of docs/conclusion.md."""

from statistics import quantiles
from sys import getswitchinterval

import pytest

from runner import new_client, serve


@pytest.mark.slow
def test_a_computation_in_a_def_task_slows_every_other_request():
    """While a `def` task computes, at least a quarter of the requests take longer than 5 ms, the time for which Python lets a thread keep the interpreter, and more than twice as long as the quickest before."""
    with (
        serve("examples.conclusion.heavy_computation:app") as server,
        new_client(base_url=server.url) as client,
    ):
        client.get("/ping")  # connects
        idle = [client.get("/ping").elapsed.total_seconds() for _ in range(100)]
        accepted = client.post("/forecast")
        server.wait_for("compute_forecast: started")
        busy = [client.get("/ping").elapsed.total_seconds() for _ in range(40)]
        still_computing = not any("done" in line.text for line in server.lines)
        server.wait_for("compute_forecast: done")
    assert accepted.json() == {"message": "Task has been queued"}
    assert still_computing
    assert getswitchinterval() == 0.005
    [_, _, slow] = quantiles(busy, n=4)
    assert slow > max(0.005, 2 * min(idle))
