"""The statements of docs/dramatiq.md."""

import re
from functools import partial
from pathlib import Path

import pytest

from bench.trial import trial
from bench.ways import WAYS
from runner import client, serve
from runner.needs import needs_of, start_worker
from runner.process import ServerError
from runner.services import Service
from tests.copying import changed
from tests.orders import ask_until, place
from tests.services import redis_cli, settings_of
from tests.terminal import positions

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.dramatiq.receipts:app"
OF_THE_PAGE = WAYS["Dramatiq, RabbitMQ"]
DEFAULT = WAYS["Dramatiq, RabbitMQ, default"]


def test_what_RabbitMQ_has_not_confirmed_is_lost_when_it_is_killed(rabbitmq: Service):
    """RabbitMQ stands still, ten jobs are placed, it is killed, and started on the same data. With the default each of the ten has its `202`, and is gone."""
    with trial(DEFAULT, rabbitmq) as way:
        assert place(way.app, 980).status_code == 202
        with rabbitmq.frozen():
            answers = [place(way.app, number) for number in range(981, 991)]
            rabbitmq.kill()
        rabbitmq.start()
        way.start_worker()
        assert {answer.status_code for answer in answers} == {202}
        ask_until(lambda: place(way.app, 991).status_code, (202).__eq__, 30)
        way.worker.wait_for("order 991 done")
        assert not re.search("order 98[1-9]|order 990", way.worker.transcript())


RESULTS = {
    "import dramatiq\n": "import dramatiq\n"
    "from dramatiq.results import ResultMissing, Results\n"
    "from dramatiq.results.backends import RedisBackend\n",
    "dramatiq.set": 'backend = RedisBackend(url=os.environ["REDIS"])\n'
    "broker.add_middleware(Results(backend=backend))\ndramatiq.set",
    "actor(": "actor(store_results=True, ",
    "app = FastAPI()\n": """app = FastAPI()

@app.get("/results/{message}")
def read_result(message: str) -> str:
    options = {"queue_name": "default", "actor_name": "send_receipt", "options": {}}
    sent = dramatiq.Message(args=(), kwargs={}, message_id=message, **options)
    try:
        return str(sent.get_result())
    except ResultMissing:
        return "ResultMissing"
""",
}
"""The app keeps results in Redis, and may be asked for one."""


def test_a_result_is_missing_before_the_job_has_run_and_ten_minutes_after(
    redis: Service, tmp_path: Path
):
    """With the `Results` middleware and `store_results=True` Dramatiq keeps what a job returns for ten minutes (`result_ttl`). Before and after that `get_result()` raises `ResultMissing`: it does not tell a job that waits from one that is forgotten."""
    settings = settings_of(APP, tmp_path) | {"REDIS": f"redis://127.0.0.1:{redis.port}"}
    env = changed(settings, tmp_path, APP, RESULTS)
    before = {*redis_cli("keys", "*").split()}
    with serve("changed:app", env=env) as app:
        job = place(app, 996).json()["job"]
        read = partial(client.get, f"{app.url}/results/{job}")
        assert read().json() == "ResultMissing"
        with start_worker(needs_of(APP), "changed", env) as worker:
            worker.wait_for("order 996 done")
            ask_until(lambda: read().json(), "None".__eq__, 30)
        (kept,) = {*redis_cli("keys", "*").split()} - before
        assert 300 < int(redis_cli("ttl", kept)) <= 600
        redis_cli("pexpire", kept, "1")  # so that it is ten minutes later
        ask_until(lambda: read().json(), "ResultMissing".__eq__, 30)


def test_a_job_on_RabbitMQ_that_fails_is_tried_three_times(rabbitmq: Service):
    """`max_retries=2` is three runs; then Dramatiq gives up, and says so in its log."""
    with trial(OF_THE_PAGE, rabbitmq) as way:
        way.start_worker()
        answer = client.post(f"{way.app.url}/orders/991/refused")
        assert answer.status_code == 202
        way.worker.wait_for("order 991 started", nth=3, timeout=30)
        way.worker.wait_for("Retries exceeded for message")
        assert way.worker.transcript().count("order 991 started") == 3


def test_without_RabbitMQ_the_client_gets_503(rabbitmq: Service):
    """RabbitMQ is killed while app and worker run: `503` within ten seconds. When it is back, so are app and worker."""
    with trial(OF_THE_PAGE, rabbitmq) as way:
        way.start_worker()
        assert place(way.app, 992).status_code == 202
        way.worker.wait_for("order 992 done")
        rabbitmq.kill()
        refused = place(way.app, 993)
        rabbitmq.start()
        assert refused.status_code == 503
        assert refused.elapsed.total_seconds() < 10
        assert place(way.app, 993).status_code == 202
        way.worker.wait_for("order 993 done", timeout=60)


def test_a_frozen_RabbitMQ_is_a_503_too_and_may_have_the_job(rabbitmq: Service):
    """RabbitMQ is frozen, so that it accepts and never answers: `503` within forty seconds. When it goes on, it may find the job that the client was refused, and then the worker runs it."""
    assert any(_refused_and_run(rabbitmq) for _ in range(3))


def _refused_and_run(rabbitmq: Service) -> bool:
    with trial(OF_THE_PAGE, rabbitmq) as way:
        assert place(way.app, 994).status_code == 202
        with rabbitmq.frozen():
            url = f"{way.app.url}/orders/995/tea"
            assert client.post(url, timeout=40).status_code == 503
        way.start_worker()
        way.worker.wait_for("order 994 done")
        try:
            way.worker.wait_for("order 995 done")
        except ServerError:  # RabbitMQ has closed the connection before it read from it
            return False
    return True


SLOW = {"time.sleep(1 if": "time.sleep(4 if"}


@pytest.mark.parametrize(
    ("options", "done"), [((), True), (("--worker-shutdown-timeout", "500"), False)]
)
def test_a_stop_waits_for_the_running_job_up_to_its_limit(
    options: tuple[str, ...], done: bool, tmp_path: Path
):
    """`SIGTERM` lets a job of four seconds come to its end. With `--worker-shutdown-timeout 500`, half a second, it is cut off, and the next worker begins it again."""
    env = changed(settings_of(APP, tmp_path), tmp_path, APP, SLOW)
    with serve("changed:app", env=env) as app:
        with start_worker(needs_of(APP), "changed", env, *options) as worker:
            worker.expect("Shutdown|ERROR|Traceback")
            assert place(app, 1, "slow").status_code == 202
            worker.wait_for("order 1 started")
            worker.stop()
            assert ("order 1 done" in worker.transcript()) == done
        if not done:
            with start_worker(needs_of(APP), "changed", env) as second:
                second.wait_for("order 1 started")


@pytest.mark.parametrize("again", [False, True])
def test_a_stop_that_interrupts_the_job_is_a_failed_try(again: bool, tmp_path: Path):
    """With `notify_shutdown=True` a stop raises `Shutdown` in the job. To Dramatiq that is a failure like any other, and uses up a try: with `max_retries=0` the job is given up, `Retries exceeded`. A `retry_when` that looks at the exception has it tried again, by the next worker or even by the one that stops."""
    retries = "max_retries=0, notify_shutdown=True"
    if again:
        retries += ", retry_when=lambda n, error: isinstance(error, Shutdown)"
    changes = {
        "max_retries=2,": f"{retries},",
        "import dramatiq\n": "import dramatiq\n"
        "from dramatiq.middleware import Shutdown\n",
        "    time.sleep(1 if item": "    begun = os.path.exists(os.environ['BEGUN'])\n"
        "    open(os.environ['BEGUN'], 'w').close()\n"
        "    while not begun:\n"
        "        time.sleep(0.1)\n    time.sleep(1 if item",
    }
    env = changed(settings_of(APP, tmp_path), tmp_path, APP, changes)
    env["BEGUN"] = str(tmp_path / "begun")
    with serve("changed:app", env=env) as app:
        with start_worker(needs_of(APP), "changed", env) as worker:
            worker.expect("Shutdown|ERROR|Traceback|Retries exceeded")
            assert place(app, 1).status_code == 202
            worker.wait_for("order 1 started")
            worker.stop()
            said = worker.transcript()
        assert ("Retries exceeded" in said) != again
        if again and "order 1 done" not in said:
            with start_worker(needs_of(APP), "changed", env) as second:
                second.wait_for("order 1 done", timeout=60)


def test_a_job_that_is_longer_than_its_time_limit_is_ended(tmp_path: Path):
    """With `time_limit=1000`, a second, a job of four seconds is ended with `TimeLimitExceeded` when its blocking call returns, and is tried again like one that fails."""
    limited = {"max_retries=2,": "max_retries=2, time_limit=1000,", **SLOW}
    env = changed(settings_of(APP, tmp_path), tmp_path, APP, limited)
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs_of(APP), "changed", env) as worker,
    ):
        worker.expect("TimeLimitExceeded|Time limit exceeded|Retries exceeded")
        assert place(app, 2, "slow").status_code == 202
        worker.wait_for("TimeLimitExceeded")
        worker.wait_for("order 2 started", nth=2)
        assert "order 2 done" not in worker.transcript()


def test_a_worker_in_the_app_ends_with_its_jobs(tmp_path: Path):
    """The app runs the job itself. Asked to stop, it runs the job to its end, within the limit of `worker.stop`, before the lifespan ends."""
    target = "examples.dramatiq.worker_in_the_app:app"
    with serve(target, env=settings_of(target, tmp_path)) as app:
        assert client.post(f"{app.url}/orders/1").status_code == 202
        app.wait_for("order 1 started")
        app.stop()
        order = positions(app, "Shutting down", "order 1 done", "lifespan: ended")
    assert order == sorted(order)


ASYNC = "examples.dramatiq.async_actor:app"


@pytest.mark.parametrize(
    ("threads", "said"),
    [
        ("1", ["started", "done", "started", "done"]),
        ("2", ["started", "started", "done", "done"]),
    ],
)
def test_async_actors_share_a_loop_and_hold_a_thread_each(
    threads: str, said: list[str], tmp_path: Path
):
    """With the `AsyncIO` middleware an `async def` actor runs, on the one event loop of its process. Each holds a thread of the worker meanwhile: with `--threads 1` they run one after the other."""
    env = settings_of(ASYNC, tmp_path)
    options = ("--processes", "1", "--threads", threads)
    module = ASYNC.removesuffix(":app")
    with (
        serve(ASYNC, env=env) as app,
        start_worker(needs_of(ASYNC), module, env, *options) as worker,
    ):
        for number in (1, 2):
            assert client.post(f"{app.url}/orders/{number}").status_code == 202
        worker.wait_for("order . done", nth=2)
        lines = re.findall(r"order \d (\w+)(?: in (.*))?", worker.transcript())
    assert [word for word, _ in lines] == said
    assert len({loop for _, loop in lines if loop}) == 1


def test_without_the_middleware_an_async_actor_fails_in_the_worker(tmp_path: Path):
    """Without the middleware the app sends the job, and the worker fails at it: `Global event loop thread not set`."""
    env = settings_of(ASYNC, tmp_path)
    env = changed(env, tmp_path, ASYNC, {"broker.add_middleware(AsyncIO())\n": ""})
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs_of(ASYNC), "changed", env) as worker,
    ):
        assert client.post(f"{app.url}/orders/1").status_code == 202
        worker.wait_for("Global event loop thread not set")
