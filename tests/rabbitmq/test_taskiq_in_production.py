"""The statements of docs/taskiq-in-production.md about jobs that block."""

import re
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from taskiq import InMemoryBroker
from taskiq.brokers.inmemory_broker import InmemoryResultBackend
from taskiq.exceptions import ResultIsReadyError

from runner import Server, client, serve
from runner.needs import needs_of, start_worker
from tests.copying import changed
from tests.services import in_a_thread, settings_of

pytestmark = pytest.mark.slow

BLOCKING = "examples.taskiq_in_production.blocking:app"
MODULE = BLOCKING.removesuffix(":app")


def a_worker(
    env: dict[str, str], module: str, *options: str
) -> AbstractContextManager[Server]:
    """A worker of one process."""
    return start_worker(needs_of(BLOCKING), module, env, "--workers", "1", *options)


def post(app: Server, path: str) -> None:
    assert client.post(app.url + path).status_code == 202


def test_an_async_def_job_that_blocks_holds_up_all_jobs_of_its_process(tmp_path: Path):
    """An `async def` job that blocks runs on the worker's event loop: another job, which needs no time, waits until it is done."""
    env = settings_of(BLOCKING, tmp_path)
    with (
        serve(BLOCKING, env=env) as app,
        a_worker(env, MODULE) as worker,
    ):
        post(app, "/labels-on-the-loop/1")
        worker.wait_for("label 1: started in MainThread")
        post(app, "/bells/1")
        rung = worker.wait_for("ring: 1")
        assert worker.wait_for("label 1: done").time <= rung.time


@pytest.mark.parametrize(
    ("options", "thread"),
    [((), "ThreadPoolExecutor-0_0"), (("--use-process-pool",), "MainThread")],
    ids=["threads", "processes"],
)
def test_a_def_job_runs_in_a_pool_of_the_worker(
    options: tuple[str, ...], thread: str, tmp_path: Path
):
    """A `def` job runs in a thread of the worker, or with `--use-process-pool` in a process of its own. Another job is done meanwhile."""
    env = settings_of(BLOCKING, tmp_path)
    env = changed(env, tmp_path, BLOCKING, {"time.sleep(2)": "time.sleep(60)"})
    with (
        serve("changed:app", env=env) as app,
        a_worker(env, "changed", *options) as worker,
    ):
        post(app, "/labels/1")
        worker.wait_for(f"label 1: started in {thread}")
        post(app, "/bells/1")
        worker.wait_for("ring: 1")
        assert "label 1: done" not in worker.transcript()


def test_def_jobs_wait_for_a_thread_of_the_pool(tmp_path: Path):
    """With `--max-threadpool-threads 1` the second `def` job begins when the first is done."""
    env = settings_of(BLOCKING, tmp_path)
    options = ("--max-threadpool-threads", "1")
    with (
        serve(BLOCKING, env=env) as app,
        a_worker(env, MODULE, *options) as worker,
    ):
        post(app, "/labels/1")
        post(app, "/labels/2")
        worker.wait_for("label .: done", nth=2)
        said = re.findall(r"label .: (\w+)", worker.transcript())
    assert said == ["started", "done"] * 2


IN_THE_APP = "examples.taskiq_in_production.worker_in_the_app:app"


def test_a_job_that_a_stop_of_the_app_cuts_off_comes_again(tmp_path: Path):
    """The app runs the job on its event loop, beside requests. Stopped, it cancels the job, and the next app begins it again."""
    env = settings_of(IN_THE_APP, tmp_path)
    with serve(IN_THE_APP, env=env) as app:
        post(app, "/orders/1")
        app.wait_for("order 1 started")
        assert client.get(f"{app.url}/openapi.json").status_code == 200
        app.stop()
        printed = app.transcript()
        assert "lifespan: ended" in printed
        assert "order 1 done" not in printed
    with serve(IN_THE_APP, env=env) as app:
        app.wait_for("order 1 done")


def test_a_worker_in_the_app_wants_is_worker_process_before_startup(tmp_path: Path):
    """Without `broker.is_worker_process = True` no job is run: the receiver fails to listen, tries again without a pause, and fills the log. The app starts and says `202`."""
    line = "    broker.is_worker_process = True  # or it would connect to send only\n"
    env = settings_of(IN_THE_APP, tmp_path)
    env = changed(env, tmp_path, IN_THE_APP, {line: ""})
    with serve("changed:app", env=env) as app:
        app.expect("NoStartupError|Exception found while listening")
        post(app, "/orders/1")
        app.wait_for("Call startup before starting listening", nth=3)
        app.kill()
        assert "send_receipt" not in app.transcript()


DEPENDENCIES = "examples.taskiq_in_production.dependencies:app"
INIT = 'taskiq_fastapi.init(broker, f"{__name__}:app")\n'


def test_a_job_gets_from_a_dependency_what_the_lifespan_has_opened(tmp_path: Path):
    """The worker runs the app's lifespan, and a job gets from a dependency the same as an endpoint: `request.app` and `request.state`."""
    env = settings_of(DEPENDENCIES, tmp_path)
    module = DEPENDENCIES.removesuffix(":app")
    with serve(DEPENDENCIES, env=env) as app, a_worker(env, module) as worker:
        answer = client.post(f"{app.url}/parcels/1")
        worker.wait_for("pack: order 1 of the tea shop")
    assert answer.json() == {"shop": "the tea shop"}


def test_without_init_a_request_is_missing_its_scope(tmp_path: Path):
    """Without `taskiq_fastapi.init` every job that needs the request fails in the worker, and not in the app: `Request.__init__() missing 1 required positional argument: 'scope'`."""
    env = settings_of(DEPENDENCIES, tmp_path)
    env = changed(env, tmp_path, DEPENDENCIES, {INIT: ""})
    with serve("changed:app", env=env) as app, a_worker(env, "changed") as worker:
        post(app, "/parcels/1")
        worker.wait_for("Request.__init__.* missing 1 required .*argument: 'scope'")
        worker.kill()
        assert "pack: order 1" not in worker.transcript()


def test_a_bare_request_is_filled_in_for_endpoints_only(tmp_path: Path):
    """A dependency with the bare annotation `request: Request` works in an endpoint, and fails in a job: `get_shop() missing 1 required positional argument: 'request'`."""
    env = settings_of(DEPENDENCIES, tmp_path)
    bare = {
        "get_shop(request: Annotated[Request, TaskiqDepends()])": "get_shop(request: Request)"
    }
    env = changed(env, tmp_path, DEPENDENCIES, bare)
    with serve("changed:app", env=env) as app, a_worker(env, "changed") as worker:
        answer = client.post(f"{app.url}/parcels/1")
        worker.wait_for("get_shop.* missing 1 required .*argument: 'request'")
    assert answer.json() == {"shop": "the tea shop"}


def test_a_job_has_no_headers(tmp_path: Path):
    """A dependency that reads `request.headers` fails in the worker: `KeyError: 'headers'`."""
    env = settings_of(DEPENDENCIES, tmp_path)
    module = DEPENDENCIES.removesuffix(":app")
    with serve(DEPENDENCIES, env=env) as app, a_worker(env, module) as worker:
        post(app, "/greetings/1")
        worker.wait_for("KeyError: 'headers'")


ASKS = {
    """    return {"job": (await print_label.kiq(number)).task_id}
""": """    sent = await print_label.kiq(number)
    try:
        result = await sent.wait_result(timeout=3)
    except Exception as error:
        return {"job": type(error).__name__}
    return {"job": f"error {result.is_err}, value {result.return_value}"}
""",
}
IN_MEMORY = {
    "import AioPikaBroker, Queue\n": "import AioPikaBroker, Queue\nfrom taskiq import InMemoryBroker\n",
    '    delay_queue=Queue(name="labels.delay"),\n)\n': '    delay_queue=Queue(name="labels.delay"),\n).with_result_backend(InMemoryBroker().result_backend)\n',
}


class Away(InmemoryResultBackend[int]):
    """A result backend that cannot be reached the first time it is asked."""

    asked = 0

    async def is_result_ready(self, task_id: str) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise ConnectionError("the result backend is away")
        return await super().is_result_ready(task_id)


def test_one_question_that_fails_ends_the_wait():
    """`wait_result` asks again and again. One question that fails, because the result backend is away for a moment, ends it with `ResultIsReadyError`, whatever is left of its `timeout`. The job goes on: catch the error, and wait again."""
    broker = InMemoryBroker().with_result_backend(Away())

    @broker.task
    async def double(number: int) -> int:
        return 2 * number

    async def wait_twice() -> int:
        sent = await double.kiq(21)
        with pytest.raises(ResultIsReadyError):
            await sent.wait_result(timeout=60)
        return (await sent.wait_result(timeout=60)).return_value

    assert in_a_thread(wait_twice()).result() == 42


@pytest.mark.parametrize(
    ("backend", "answer"),
    [({}, "error False, value None"), (IN_MEMORY, "TaskiqResultTimeoutError")],
)
def test_wait_result_needs_a_store_that_app_and_worker_share(
    backend: dict[str, str], answer: str, tmp_path: Path
):
    """Without a result backend `wait_result` returns at once, with `is_err=False` and `None`, before the job has run. With results in the app's memory it finds none of a worker: `timeout` ends it with `TaskiqResultTimeoutError`, and nothing does without."""
    env = changed(settings_of(BLOCKING, tmp_path), tmp_path, BLOCKING, ASKS | backend)
    with serve("changed:app", env=env) as app:
        app.expect("result")
        said = client.post(f"{app.url}/labels/1", timeout=30).json()
        assert said == {"job": answer}
        with a_worker(env, "changed") as worker:
            worker.wait_for("label 1: done")
