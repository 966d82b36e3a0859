"""The statements of docs/arq.md."""

import re
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest

from runner import Server, client, serve
from runner.needs import NEEDS, start_worker
from runner.process import ROOT
from runner.services import Service
from tests.copying import changed
from tests.orders import answers_without, ask_until, place, state
from tests.services import redis_cli

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.arq.receipts:app"
a_worker = partial(start_worker, NEEDS["arq"], "examples.arq.receipts")
TO_LONG = {
    "    job_timeout": '    queue_name = "long"\n    job_timeout',
    "_job_id=f": '_queue_name="long", _job_id=f',
    "@app.get": """@app.get("/results/{job_id}")
async def read_result(job_id: str, queue: Queue) -> None:
    try:
        async with asyncio.timeout(3):
            await Job(job_id, queue).result()
    except TimeoutError:
        raise HTTPException(503) from None


@app.get""",
}
"""Jobs are sent to a queue of another name; one may wait for a result, three seconds."""


def test_the_job_runs_once_in_the_worker_and_its_state_can_be_read(
    app: Server, settings: dict[str, str]
):
    """The order's number is the job's id: placed again while it waits, it is one job. Its state can be read before and after."""
    job = place(app, 7).json()["job"]
    assert place(app, 7).json()["job"] == job
    assert state(app, job)["status"] == "queued"
    with a_worker(settings) as worker:
        worker.wait_for("send_receipt: order 7 done")
        worker.stop()
        assert sum("7 started" in line.text for line in worker.lines) == 1
    end = state(app, job)
    assert end == {"status": "complete", "error": None}
    assert client.get(f"{app.url}/jobs/no-such-job").status_code == 404


@pytest.mark.parametrize("times", [1, 3])
def test_only_retry_runs_a_job_again(
    times: int, app: Server, settings: dict[str, str], tmp_path: Path
):
    """A job that raises `Retry` runs three times here, and then its result is the error. One that raises anything else runs once."""
    other = {'Retry(defer=context["job_try"])': "ConnectionError('refused')"}
    env = changed(settings, tmp_path, APP, other if times == 1 else {})
    job = place(app, 1, "refused").json()["job"]
    with start_worker(NEEDS["arq"], "changed", env) as worker:
        worker.expect("refused")
        worker.wait_for("order 1 started", nth=times, timeout=30)
        ask = partial(state, app, job)
        end = ask_until(ask, lambda job: job["status"] == "complete", 30)
        assert sum("1 started" in line.text for line in worker.lines) == times
    assert ("refused" if times == 1 else "retries exceeded") in end["error"]


def test_a_killed_workers_jobs_run_again_after_the_timeout_and_ten_seconds(
    app: Server, settings: dict[str, str]
):
    """With a `job_timeout` of two seconds, what ran in a killed worker is started again about twelve seconds after its start, by another worker, and done. Nothing is lost."""
    quick = settings | {"LONGEST_JOB": "2"}
    place(app, 1, "slow")
    with a_worker(quick) as first:
        started = first.wait_for("order 1 started")
        first.kill()
    with a_worker(quick) as second:
        again = second.wait_for("order 1 started", timeout=30)
        second.wait_for("order 1 done")
    assert again.time - started.time > 11


def test_a_clean_stop_waits_for_the_job_that_runs(
    app: Server, settings: dict[str, str]
):
    """`SIGTERM` lets the running job come to its end, for up to `job_completion_wait` seconds, and the next worker does not run it again. Without that setting it is cancelled at once, and begins anew in the next worker."""
    place(app, 1, "slow")
    with a_worker(settings) as first:
        first.wait_for("order 1 started")
        first.stop()
        assert "order 1 done" in first.transcript()
    place(app, 2)
    with a_worker(settings) as second:
        second.wait_for("order 2 done")
        assert "order 1" not in second.transcript()


def test_the_worker_ends_when_redis_goes_away(settings: dict[str, str], redis: Service):
    """When Redis is killed the worker ends with an error, and does not come back by itself."""
    with a_worker(settings) as worker:
        worker.expect("ConnectionError")
        redis.kill()
        assert worker.wait(30) != 0


def test_without_redis_the_client_gets_503(app: Server, redis: Service):
    """Redis is frozen, so that it accepts and never answers, or killed: whoever places an order or asks for a job gets `503` within five seconds. When it is back, so is the app."""
    assert place(app, 1).status_code == 202
    for answer in answers_without(redis, app):
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 5
    assert place(app, 3).status_code == 202


@pytest.mark.parametrize("sent", [SIGINT, SIGTERM])
def test_a_worker_in_the_app_leaves_signals_to_uvicorn(
    sent: Signals, settings: dict[str, str]
):
    """With `handle_signals=False` it runs the jobs, and Ctrl+C or `SIGTERM` ends the server as always."""
    target = "examples.arq.worker_in_the_app:app"
    with serve(target, env=settings) as server:
        assert client.post(f"{server.url}/orders/7").status_code == 202
        server.wait_for("send_receipt: order 7 done")
        server.stop(sent)
        server.wait_for("lifespan: ended")


def test_a_worker_in_the_app_that_redis_ends_ends_the_app(
    settings: dict[str, str], redis: Service
):
    """When Redis is killed the worker ends, and here the app with it, so that both are started again."""
    with serve("examples.arq.worker_in_the_app:app", env=settings) as server:
        server.expect("ConnectionError")
        redis.kill()
        server.wait_for("the worker has ended")
        server.wait_for("lifespan: ended")
        server.wait()


def test_by_default_it_takes_them_and_the_app_goes_on(settings: dict[str, str]):
    """By default Ctrl+C and `SIGTERM` end the worker, and uvicorn hears of neither: the app goes on, and takes orders that nobody runs."""
    with serve("examples.arq.takes_ctrl_c:app", env=settings) as server:
        client.post(f"{server.url}/orders/7")
        server.wait_for("send_receipt: order 7 done")
        for sent in (SIGINT, SIGTERM):
            server.process.send_signal(sent)
            assert client.post(f"{server.url}/orders/8").status_code == 202
        assert "Shutting down" not in server.transcript()
        assert "order 8 done" not in server.transcript()


def test_arq_and_celery_want_different_versions_of_redis():
    """arq 0.28 asks for `redis` below 6, Celery's `kombu` 5.7 for 6.4 or newer."""
    wanted = []
    for package in ("arq-0.28.0", "kombu-5.7.0"):
        folder = package.partition("-")[0].replace("kombu", "celery")
        metadata = ROOT / f".cache/{folder}/{package}.dist-info/METADATA"
        wanted += [x for x in metadata.read_text().splitlines() if "Dist: redis" in x]
    assert any("<6" in line for line in wanted)
    assert any(">=6.4" in line for line in wanted)


def test_until_then_it_is_not_run_again(app: Server, settings: dict[str, str]):
    """With the default of 300 seconds another worker runs the next job, and not the one that ran in the killed worker."""
    place(app, 1, "slow")
    with a_worker(settings) as first:
        first.wait_for("order 1 started")
        first.kill()
    with a_worker(settings) as second:
        place(app, 2)
        second.wait_for("order 2 done")
        assert not any("order 1" in line.text for line in second.lines)


def test_a_job_that_takes_longer_than_job_timeout_is_cancelled(
    app: Server, settings: dict[str, str], tmp_path: Path
):
    """With a `job_timeout` of two seconds, a job that would take an hour gets a `CancelledError` at its `await`. It is not tried again: the log says `failed, TimeoutError`, and so does its result. `cancelled, will be run again` is what a worker says of its jobs when it is stopped."""
    told = "try:\n        await asyncio.sleep(seconds)\n    finally:\n        print(sys.exc_info()[0])\n"
    changes = {
        "await asyncio.sleep(seconds)": told,
        "import os\n": "import os\nimport sys\n",
    }
    env = changed(settings | {"LONGEST_JOB": "2"}, tmp_path, APP, changes)
    job = place(app, 1, "endless").json()["job"]
    with start_worker(NEEDS["arq"], "changed", env) as worker:
        worker.wait_for("order 1 started")
        worker.wait_for("class 'asyncio.exceptions.CancelledError'")
        worker.wait_for("failed, TimeoutError")
        place(app, 2)
        worker.wait_for("order 2 done")
        assert sum("1 started" in line.text for line in worker.lines) == 1
    assert "TimeoutError" in state(app, job)["error"]


def test_a_limit_of_its_own_that_raises_retry_has_the_job_tried_again(
    app: Server, settings: dict[str, str], tmp_path: Path
):
    """With a limit inside the job, below `job_timeout`, whose `TimeoutError` becomes a `Retry`, the job is started three times, its `max_tries`."""
    wait = "    await asyncio.sleep(seconds)  # stands in for a mail server\n"
    limited = """\
    try:
        async with asyncio.timeout(0.5):
            await asyncio.sleep(seconds)
    except TimeoutError:
        raise Retry from None
"""
    env = changed(settings, tmp_path, APP, {wait: limited})
    job = place(app, 1, "endless").json()["job"]
    with start_worker(NEEDS["arq"], "changed", env) as worker:
        worker.wait_for("order 1 started", nth=3)
        worker.wait_for("max retries 3 exceeded")
        worker.stop()
    assert "retries exceeded" in state(app, job)["error"]


@pytest.mark.parametrize(("another", "kept"), [("5", 15), ("3600", 3610)])
def test_the_longest_timeout_of_a_worker_holds_for_each_of_its_jobs(
    another: str, kept: int, app: Server, settings: dict[str, str], tmp_path: Path
):
    """A job with a `timeout` of five seconds runs in a worker that is killed. Other workers leave it for fifteen seconds; for an hour and ten seconds, if that worker had another function with `timeout=3600`. So long is its key `arq:in-progress:…` kept."""
    functions = {
        "(func(send_receipt, max_tries=3),)": "(func(send_receipt, timeout=5),"
        f" func(send_receipt, name='build_report', timeout={another}))"
    }
    env = changed(settings, tmp_path, APP, functions)
    place(app, 1, "endless")
    with start_worker(NEEDS["arq"], "changed", env) as worker:
        worker.wait_for("order 1 started")
        worker.kill()
    left = int(redis_cli("ttl", "arq:in-progress:order-1"))
    assert kept / 2 < left <= kept


def test_a_worker_takes_only_what_was_sent_to_its_queue(
    app: Server, settings: dict[str, str], tmp_path: Path
):
    """A worker with `queue_name = "long"` leaves what was sent without `_queue_name`: that job stays `queued`, though the worker runs others. `await job.result()` waits for it without end, unless it is given a `timeout`."""
    env = changed(settings, tmp_path, APP, TO_LONG)
    place(app, 1)
    with (
        serve("changed:app", env=env) as long,
        start_worker(NEEDS["arq"], "changed", env) as worker,
    ):
        place(long, 2)
        worker.wait_for("order 2 done")
        assert state(app, "order-1")["status"] == "queued"
        assert client.get(f"{long.url}/results/order-1").status_code == 503
        assert "order 1 started" not in worker.transcript()


@pytest.mark.parametrize(("named", "status"), [(False, 404), (True, 200)])
def test_who_asks_for_a_job_of_another_queue_names_it(
    named: bool, status: int, settings: dict[str, str], tmp_path: Path
):
    """A job that was sent with `_queue_name="long"` is `not_found` to `Job(job_id, queue)` as long as it waits: the app above answers `404`. With `Job(job_id, queue, _queue_name="long")` it is `queued`. `redis-cli zcard long` counts it."""
    job = {"Job(job_id, queue)": 'Job(job_id, queue, _queue_name="long")'}
    env = changed(settings, tmp_path, APP, TO_LONG | (job if named else {}))
    with serve("changed:app", env=env) as app:
        place(app, 1)
        answer = client.get(f"{app.url}/jobs/order-1")
    assert redis_cli("zcard", "long") == "1\n"
    assert answer.status_code == status
    assert not named or answer.json()["status"] == "queued"


def test_a_job_that_nobody_takes_in_time_is_gone(
    settings: dict[str, str], tmp_path: Path
):
    """With `create_pool(…, expires_extra_ms=1000)` a job that is due in a second is deleted a second after that. Until a worker comes it is still `queued`. The worker prints `job order-1 expired` and does not run it: its result is the error `job expired`."""
    soon = {
        "create_pool(WorkerSettings.redis_settings)": "create_pool(WorkerSettings.redis_settings, expires_extra_ms=1000)",
        '_job_id=f"order-{order_id}"': '_job_id=f"order-{order_id}", _defer_by=1',
    }
    env = changed(settings, tmp_path, APP, soon)
    with serve("changed:app", env=env) as app:
        job = place(app, 1).json()["job"]
        gone = partial(redis_cli, "exists", f"arq:job:{job}")
        ask_until(gone, lambda found: found == "0\n", 30)
        assert state(app, job) == {"status": "queued", "error": None}
        with start_worker(NEEDS["arq"], "changed", env) as worker:
            worker.wait_for("job order-1 expired")
            ask_until(lambda: state(app, job)["status"], lambda s: s == "complete", 30)
            assert "job expired" in state(app, job)["error"]
            assert "order 1 started" not in worker.transcript()


def test_by_default_that_is_a_day_and_the_app_decides(
    settings: dict[str, str], tmp_path: Path
):
    """Without that a job that is due in an hour is kept for a day and an hour. `expires_extra_ms` in `WorkerSettings` changes nothing in a job that the app sends."""
    later = {
        '_job_id=f"order-{order_id}"': '_job_id=f"order-{order_id}", _defer_by=3600',
        "    job_timeout = LONGEST_JOB": "    job_timeout = LONGEST_JOB\n    expires_extra_ms = 1000",
    }
    env = changed(settings, tmp_path, APP, later)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["arq"], "changed", env),
    ):
        job = place(app, 1).json()["job"]
        left = int(redis_cli("ttl", f"arq:job:{job}"))
    assert 86_400 + 3_000 < left <= 86_400 + 3_600


def with_cron(
    settings: dict[str, str], folder: Path, jobs: dict[str, str]
) -> dict[str, str]:
    """The environment of a worker with such jobs, each due every second: name to options."""
    lines = [
        f"cron({name}, second=set(range(60)){more})," for name, more in jobs.items()
    ]
    job = 'async def {}(context: dict[Any, Any]) -> None:\n    print(context["job_id"], "ran", flush=True)\n\n\n'
    changes = {
        "Retry, create_pool, func\n": "Retry, create_pool, cron, func\n",
        "class WorkerSettings:\n": "".join(map(job.format, jobs))
        + f"class WorkerSettings:\n    cron_jobs = ({' '.join(lines)})\n",
    }
    return changed(settings, folder, APP, changes)


def test_of_two_workers_one_runs_a_cron_job(settings: dict[str, str], tmp_path: Path):
    """A job that is due every second, in two workers: each time one of them runs it. Its id has the time in it."""
    env = with_cron(settings, tmp_path, {"tick": ""})
    a_worker_with_cron = partial(start_worker, NEEDS["arq"], "changed", env)
    with a_worker_with_cron() as first, a_worker_with_cron() as second:

        def ran() -> list[str]:
            lines = [*first.lines, *second.lines]
            return [line.text for line in lines if line.text.endswith(" ran")]

        ids = ask_until(ran, lambda lines: len(lines) > 5, 60)
    assert len(ids) == len(set(ids))
    assert all(re.match(r"cron:tick:\d+ ran", line) for line in ids)


def test_with_a_job_id_a_cron_job_runs_once_a_minute(
    settings: dict[str, str], tmp_path: Path
):
    """With a `job_id` a cron job runs once, while one without runs four times: arq keeps the id's key `arq:in-progress:…` for a minute."""
    env = with_cron(settings, tmp_path, {"tick": ", job_id='tick'", "other": ""})
    with start_worker(NEEDS["arq"], "changed", env) as worker:
        worker.wait_for("tick ran", timeout=60)
        worker.wait_for("cron:other:.* ran", nth=4, timeout=60)
        left = int(redis_cli("ttl", "arq:in-progress:tick"))
        assert sum(line.text == "tick ran" for line in worker.lines) == 1
    assert 0 < left <= 60
