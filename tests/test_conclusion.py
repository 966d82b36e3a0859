"""The statements of docs/conclusion.md."""

from statistics import median, quantiles

import pytest

from runner import new_client, serve


@pytest.mark.slow
def test_a_computation_in_a_def_task_slows_every_other_request():
    """While a `def` task computes, the slowest quarter of the requests takes more than three times the median of those before."""
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
    [_, _, slow] = quantiles(busy, n=4)
    assert slow > 3 * median(idle)
