"""The statements of docs/rq.md."""

from functools import partial

import pytest

from runner import Server, client
from runner.needs import NEEDS, start_worker
from runner.services import Service
from tests.orders import answers_without, place, state

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.rq.receipts:app"
a_worker = partial(start_worker, NEEDS["rq"], "examples.rq.receipts")


def test_the_job_runs_in_the_worker_and_its_state_can_be_read(
    app: Server, settings: dict[str, str]
):
    """The app answers without a worker; one that starts later runs the job in a process of its own."""
    job = place(app, 7).json()["job"]
    assert state(app, job) == {"status": "queued", "error": None}
    with a_worker(settings) as worker:
        worker.wait_for("send_receipt: order 7 done")
        worker.wait_for("Job OK")
    assert state(app, job) == {"status": "finished", "error": None}
    assert client.get(f"{app.url}/jobs/no-such-job").status_code == 404


def test_a_job_that_fails_is_tried_three_times(app: Server, settings: dict[str, str]):
    """With `Retry(max=2)` a job that raises runs three times; then it is `failed`, with its traceback."""
    job = place(app, 1, "refused").json()["job"]
    with a_worker(settings) as worker:
        worker.wait_for("order 1 started", nth=3, timeout=30)
        place(app, 2)
        worker.wait_for("order 2 done")
    end = state(app, job)
    assert end["status"] == "failed"
    assert "refused the connection" in str(end["error"])


@pytest.mark.long
def test_a_killed_workers_job_runs_again_if_it_may_be_retried(
    app: Server, settings: dict[str, str]
):
    """Worker and job are killed. More than a minute later another worker runs the job again."""
    place(app, 1, "slow")
    with a_worker(settings) as first:
        started = first.wait_for("order 1 started")
        first.kill()
    with a_worker(settings) as second:
        again = second.wait_for("order 1 started", timeout=110)
    assert again.time - started.time > 60


def test_without_redis_the_client_gets_503(app: Server, redis: Service):
    """Redis is frozen, so that it accepts and never answers, or killed: `503` within eight seconds. When it is back, so is the app."""
    assert place(app, 1).status_code == 202
    for answer in answers_without(redis, app):
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 8
    assert place(app, 3).status_code == 202
