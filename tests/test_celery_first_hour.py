"""The statements of docs/celery-first-hour.md."""

import re
import shutil
import socket
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runner import Server, ServerError, client, serve
from runner.needs import NEEDS, start_worker
from runner.process import ROOT
from runner.services import Service
from tests.copying import changed, last_line_of_pytest, with_changes
from tests.orders import ask_until
from tests.services import new_database, postgresql_url

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.celery_first_hour.orders:app"
ASYNC_DEF = "examples.celery_first_hour.async_def:app"
ARGUMENTS = "examples.celery_first_hour.arguments:app"
TWO_LOOPS = "examples.celery_first_hour.engine_in_two_loops:app"
WITHOUT_POOL = "examples.celery_first_hour.engine_without_pool:app"
ONE_LOOP = "examples.celery_first_hour.engine_in_one_loop:app"
FORKED = "examples.celery_first_hour.forked_engine:app"
DISPOSED = "examples.celery_first_hour.forked_and_disposed:app"
CHILDREN = "examples.celery_first_hour.children:app"
LOGS_TAKEN = "examples.celery_first_hour.logs_taken:app"
LOGS_KEPT = "examples.celery_first_hour.logs_kept:app"
FILES = ROOT / "examples/celery_first_hour"

ENDED = "succeeded in|raised unexpected"
ORDER = {
    "id": "6c1a52a3-9d1d-4b7a-8f2b-0a1b2c3d4e5f",
    "placed": "2026-11-26T10:00:00Z",
    "price": "1.10",
}


def a_worker(
    settings: dict[str, str], target: str = APP, *options: str
) -> AbstractContextManager[Server]:
    """A worker with one process, unless the options say something else."""
    module = target.removesuffix(":app")
    return start_worker(
        NEEDS["celery_first_hour"], module, settings, "--concurrency", "1", *options
    )


def post(server: Server, path: str) -> dict[str, str]:
    answer = client.post(server.url + path)
    assert answer.status_code == 202
    found: dict[str, str] = answer.json() or {}
    return found


def state(server: Server, order: int) -> str:
    """What the app says of the job of an order."""
    job: str = client.get(f"{server.url}/orders/{order}").json()["job"]
    return job


def becomes(server: Server, order: int, status: str) -> None:
    ask_until(lambda: state(server, order), lambda now: now == status, 60)


def printed(server: Server, pattern: str) -> list[str]:
    """What is printed of that pattern, each time that it is."""
    return [m[0] for line in server.lines if (m := re.search(pattern, line.text))]


def test_a_job_waits_then_runs_then_is_done(app: Server, settings: dict[str, str]):
    """Its row is there from the start. Its state is `PENDING` while it waits, `STARTED` while it runs, then `SUCCESS`. An order that nobody placed is a `404`."""
    assert client.get(f"{app.url}/orders/1").status_code == 404
    assert post(app, "/orders/tea") == {"order": 1}
    assert state(app, 1) == "PENDING"
    with a_worker(settings) as worker:
        becomes(app, 1, "STARTED")
        assert not client.get(f"{app.url}/orders/1").json()["done"]
        worker.wait_for("send_receipt: tea done")
        becomes(app, 1, "SUCCESS")


def test_without_track_started_a_running_job_is_pending(
    settings: dict[str, str], tmp_path: Path
):
    """Without `task_track_started` a job that runs is `PENDING` too."""
    track = {"queue.conf.task_track_started = True\n": ""}
    env = changed(settings, tmp_path, APP, track)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        post(app, "/orders/tea")
        worker.wait_for("send_receipt: tea started")
        assert state(app, 1) == "PENDING"
        assert not printed(worker, "tea done")


def test_a_result_is_forgotten(settings: dict[str, str], tmp_path: Path):
    """After `result_expires`, here a second, a job that was done is `PENDING` again. The row still says that it is done."""
    expire = {"task_track_started = True": "result_expires = 1"}
    env = changed(settings, tmp_path, APP, expire)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app"):
        post(app, "/orders/tea")
        becomes(app, 1, "SUCCESS")
        becomes(app, 1, "PENDING")
        assert client.get(f"{app.url}/orders/1").json()["done"]


def test_by_default_after_a_day(app: Server, settings: dict[str, str], redis: Service):
    """The default is a day: Redis keeps the result for at most 86,400 seconds."""
    post(app, "/orders/tea")
    with a_worker(settings):
        becomes(app, 1, "SUCCESS")
    with socket.create_connection(("127.0.0.1", redis.port)) as connection:
        connection.sendall(b"KEYS celery-task-meta-*\r\n")
        [key] = re.findall(rb"celery-task-meta-[\w-]+", connection.recv(1000))
        connection.sendall(b"TTL " + key + b"\r\n")
        seconds = int(connection.recv(100).removeprefix(b":"))
    assert 80_000 < seconds <= 86_400


def test_a_worker_of_another_queue_leaves_it(app: Server, settings: dict[str, str]):
    """A worker that was started with `--queues mail` leaves a job that was sent to no queue by name; one without the option takes it."""
    with a_worker(settings, APP, "--queues", "mail") as other:
        post(app, "/orders/tea")
        with a_worker(settings, APP, "--hostname", "celery@second") as worker:
            worker.wait_for("send_receipt: tea done")
        assert not printed(other, "received|tea")


def test_an_unregistered_job_is_thrown_away(app: Server, settings: dict[str, str]):
    """A worker of another module takes the job, says `Received unregistered task`, and throws it away: it is `FAILURE`, and the right worker never sees it."""
    post(app, "/orders/tea")
    with a_worker(settings, ARGUMENTS) as other:
        other.wait_for("Received unregistered task of type .*orders.send_receipt")
        becomes(app, 1, "FAILURE")
    with a_worker(settings) as worker:
        post(app, "/orders/milk")
        worker.wait_for("send_receipt: milk done")
        assert not printed(worker, "receipt: tea")


def test_without_a_result_backend_its_state_stays_pending(
    app: Server, settings: dict[str, str]
):
    """If that worker has no result backend, the job stays `PENDING`."""
    post(app, "/orders/tea")
    with a_worker(settings, ASYNC_DEF) as other:
        other.wait_for("Received unregistered task")
        post(app, "/orders/milk")
        other.wait_for("Received unregistered task", nth=2)
    assert state(app, 1) == "PENDING"


SHOP = """
import os
from celery import Celery
queue = Celery("shop", broker=os.environ["BROKER"], include={include})
"""
LABELS = """
from shop import queue
@queue.task
def print_label(number): pass
"""


@pytest.mark.parametrize(
    ("include", "registered"), [(["labels"], True), ([], False)], ids=str
)
def test_a_worker_imports_what_include_names(
    settings: dict[str, str], tmp_path: Path, include: list[str], registered: bool
):
    """A worker that is started with `--app shop.queue` has the tasks of `labels.py` only if `include=["labels"]` is in `shop.py`."""
    (tmp_path / "shop.py").write_text(SHOP.format(include=include))
    (tmp_path / "labels.py").write_text(LABELS)
    path = f"{settings['PYTHONPATH']}:{tmp_path}"
    with a_worker(settings | {"PYTHONPATH": path}, "shop:app") as worker:
        assert bool(printed(worker, "  . labels.print_label")) == registered


def test_an_async_def_task_succeeds_and_nothing_is_done(settings: dict[str, str]):
    """Celery calls it, gets a coroutine, and writes `succeeded`. Python warns that it was never awaited, and nothing of it has run."""
    with serve(ASYNC_DEF, env=settings) as app, a_worker(settings, ASYNC_DEF) as worker:
        post(app, "/async-def/tea")
        worker.wait_for(r"send_and_never_await\[.* succeeded in .*<coroutine object")
        post(app, "/def/milk")
        worker.wait_for(r"send_receipt\[.* succeeded in")
        worker.wait_for("coroutine 'send_and_never_await' was never awaited")
        assert printed(worker, "deliver: .*") == [
            "deliver: milk started",
            "deliver: milk done",
        ]


def test_with_a_result_backend_it_fails(settings: dict[str, str], tmp_path: Path):
    """With a result backend its state is `FAILURE`, for a coroutine is not JSON: `EncodeError`."""
    backend = {"broker=BROKER)": "broker=BROKER, backend=BROKER)"}
    env = changed(settings, tmp_path, ASYNC_DEF, backend)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        job = post(app, "/async-def/tea")["job"]
        worker.wait_for("EncodeError: Object of type coroutine is not JSON")
        ask_until(
            lambda: client.get(f"{app.url}/jobs/{job}").json()["status"],
            lambda status: status == "FAILURE",
            60,
        )


def test_without_a_backend_there_is_no_state(settings: dict[str, str]):
    """To ask for the state is a `500`, and the server prints `'DisabledBackend' object has no attribute …`."""
    with serve(ASYNC_DEF, env=settings) as app:
        job = post(app, "/def/tea")["job"]
        assert client.get(f"{app.url}/jobs/{job}").status_code == 500
        app.wait_for("AttributeError: 'DisabledBackend' object has no attribute")


def reports(
    settings: dict[str, str], target: str, driver: str, number: int, *options: str
) -> list[str]:
    """Ask for so many reports of a PostgreSQL; what the worker printed until all have ended."""
    url = postgresql_url(new_database()).replace(":", f"+{driver}:", 1)
    env = settings | {"POSTGRESQL": url}
    with (
        serve(target, env=env) as app,
        a_worker(env, target, *options) as worker,
    ):
        for day in range(number):
            post(app, f"/reports/day-{day}")
            worker.wait_for(ENDED, nth=day + 1)
        return [line.text for line in worker.lines]


def done(lines: list[str]) -> list[str]:
    return [line.partition("count_orders: ")[2] for line in lines if "done" in line]


def test_asyncio_run_breaks_an_async_engine(settings: dict[str, str]):
    """The first job is done. The second fails: its connection is `attached to a different loop`. All after it fail too: `another operation is in progress`."""
    lines = reports(settings, TWO_LOOPS, "asyncpg", 4)
    assert done(lines) == ["day-0 done"]
    text = "\n".join(lines)
    assert text.count("raised unexpected") == 3
    assert "attached to a different loop" in text
    assert "another operation is in progress" in text


@pytest.mark.parametrize("target", [WITHOUT_POOL, ONE_LOOP])
def test_without_a_pool_or_with_one_loop_all_are_done(
    settings: dict[str, str], target: str
):
    """Without a pool, or with one loop for all, each job is done."""
    lines = reports(settings, target, "asyncpg", 4)
    assert done(lines) == [f"day-{number} done" for number in range(4)]


def test_psycopg_does_not_mind(settings: dict[str, str]):
    """With psycopg in place of asyncpg each job is done, even with the pool and a new loop for each."""
    lines = reports(settings, TWO_LOOPS, "psycopg", 4)
    assert done(lines) == [f"day-{number} done" for number in range(4)]


MIXED_UP = r"of day-(\d+) it reads that of (?!day-\1$)|raised unexpected"


def test_a_connection_made_before_the_fork_mixes_up_answers(
    settings: dict[str, str],
):
    """Two processes use one connection: a job fails, reads the answer to the other's query, or waits for ever."""
    url = postgresql_url(new_database()).replace(":", "+psycopg:", 1)
    env = settings | {"POSTGRESQL": url}
    with (
        serve(FORKED, env=env) as app,
        a_worker(env, FORKED, "--concurrency", "2") as worker,
    ):
        worker.expect("raised unexpected")
        for day in range(20):
            post(app, f"/reports/day-{day}")
        lines = -1
        while not printed(worker, MIXED_UP) and lines < (lines := len(worker.lines)):
            with suppress(ServerError):
                worker.wait_for(MIXED_UP, timeout=20)
        assert printed(worker, MIXED_UP) or len(printed(worker, ENDED)) < 20


def test_disposed_in_each_process_it_does_not(settings: dict[str, str]):
    """With `dispose(close=False)` in each process all jobs read their own answer."""
    url = postgresql_url(new_database()).replace(":", "+psycopg:", 1)
    env = settings | {"POSTGRESQL": url}
    with (
        serve(DISPOSED, env=env) as app,
        a_worker(env, DISPOSED, "--concurrency", "2") as worker,
    ):
        for day in range(20):
            post(app, f"/reports/day-{day}")
        worker.wait_for(ENDED, nth=20)
        assert not printed(worker, MIXED_UP)
        assert len(printed(worker, "count_orders: of")) == 20


def test_a_model_is_not_json(settings: dict[str, str]):
    """A Pydantic model: `EncodeError`, `Object of type Order is not JSON serializable`, and the client has a `500`. Nothing is sent."""
    with serve(ARGUMENTS, env=settings) as app, a_worker(settings, ARGUMENTS) as worker:
        answer = client.post(f"{app.url}/model", json=ORDER)
        assert answer.status_code == 500
        app.wait_for("EncodeError: Object of type Order is not JSON serializable")
        client.post(f"{app.url}/dump", json=ORDER)
        worker.wait_for("received")
        worker.wait_for("succeeded in")
        assert len(printed(worker, "received")) == 1


def test_nor_is_a_row(settings: dict[str, str], tmp_path: Path):
    """A row of SQLAlchemy's is no JSON either."""
    row = {"apply_async([order.id]": "apply_async([order]"}
    env = changed(settings, tmp_path, APP, row)
    with serve("changed:app", env=env) as app:
        assert client.post(f"{app.url}/orders/tea").status_code == 500
        app.wait_for("EncodeError: Object of type Order is not JSON serializable")


def test_its_dump_is(settings: dict[str, str]):
    """`model_dump()` arrives as a dict, in which `UUID`, `datetime` and `Decimal` are what they were."""
    with serve(ARGUMENTS, env=settings) as app, a_worker(settings, ARGUMENTS) as worker:
        client.post(f"{app.url}/dump", json=ORDER)
        line = worker.wait_for("send_receipt: ").text
    assert "{'id': UUID('6c1a52a3-" in line
    assert "'placed': datetime.datetime(2026, 11, 26, 10, 0, tzinfo=" in line
    assert "'price': Decimal('1.10')}" in line


def test_a_typed_task_takes_a_model(settings: dict[str, str]):
    """To a task with `pydantic=True` you pass the model itself, and it arrives as one."""
    with serve(ARGUMENTS, env=settings) as app, a_worker(settings, ARGUMENTS) as worker:
        assert client.post(f"{app.url}/typed", json=ORDER).status_code == 202
        worker.wait_for(r"send_typed_receipt: Order\(id=UUID\('6c1a52a3-")


def test_the_worker_takes_the_logging(settings: dict[str, str]):
    """The app logs in its own format. In the worker the same line has Celery's, and what the job prints is a `WARNING`."""
    with (
        serve(LOGS_TAKEN, env=settings) as app,
        a_worker(settings, LOGS_TAKEN) as worker,
    ):
        post(app, "/orders/tea")
        app.wait_for("^shop: ordered tea$")
        worker.wait_for(r"^\[.*: WARNING/.*\] printed tea$")
        worker.wait_for(r"^\[.*: INFO/.*\] logged tea$")


def test_without_loglevel_info_is_not_shown(settings: dict[str, str]):
    """Without `--loglevel INFO` the level is `WARNING`: `print` is shown, `log.info` is not."""
    quiet = replace(
        NEEDS["celery_first_hour"],
        worker=("celery", "--app", "{module}.queue", "worker", "--concurrency", "1"),
        ready=r"\[queues\]",
    )
    module = LOGS_TAKEN.removesuffix(":app")
    with (
        serve(LOGS_TAKEN, env=settings) as app,
        start_worker(quiet, module, settings) as worker,
    ):
        post(app, "/orders/tea")
        post(app, "/orders/milk")
        worker.wait_for("printed milk")
        assert not printed(worker, "logged tea")


def test_with_a_receiver_the_format_is_yours(settings: dict[str, str]):
    """`setup_logging` has a receiver: the worker logs as the app does, and what is printed is printed."""
    with serve(LOGS_KEPT, env=settings) as app, a_worker(settings, LOGS_KEPT) as worker:
        post(app, "/orders/tea")
        app.wait_for("^shop: ordered tea$")
        worker.wait_for("^printed tea$")
        worker.wait_for("^shop: logged tea$")
        worker.wait_for("^celery.app.trace: Task .* succeeded in")


@pytest.mark.parametrize(("pool", "works"), [("prefork", False), ("threads", True)])
def test_a_pool_in_a_job_is_refused_with_prefork(
    settings: dict[str, str], pool: str, works: bool
):
    """A `multiprocessing.Pool` in a job is an `AssertionError`. With `--pool threads`, where the worker itself runs the job, it works."""
    options = ("--pool", pool, "--concurrency", "1")
    with (
        serve(CHILDREN, env=settings) as app,
        a_worker(settings, CHILDREN, *options) as worker,
    ):
        worker.expect("AssertionError|daemonic processes")
        post(app, "/albums-in-a-pool/3")
        worker.wait_for("succeeded in" if works else "daemonic processes are not")


def test_a_group_is_a_job_for_each_part(settings: dict[str, str]):
    """A `group` is a job for each part, and the worker's processes share them."""
    with serve(CHILDREN, env=settings) as app, a_worker(settings, CHILDREN) as worker:
        post(app, "/albums/3")
        for picture in range(3):
            worker.wait_for(f"resize: picture {picture}")


def test_get_in_a_task_is_refused(settings: dict[str, str], tmp_path: Path):
    """A task that waits for another one with `result.get()` fails: `RuntimeError: Never call result.get() within a task!`"""
    wait = {"time.sleep(2)": "send_receipt.delay(order_id).get()"}
    env = changed(settings, tmp_path, APP, wait)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        worker.expect("Never call result.get")
        post(app, "/orders/tea")
        worker.wait_for(r"RuntimeError: Never call result.get\(\) within a task!")
        becomes(app, 1, "FAILURE")


def test_depends_stays_what_it_is(settings: dict[str, str], tmp_path: Path):
    """Nobody resolves a parameter `session=Depends(…)`: the task fails with `'Depends' object has no attribute 'get_one'`."""
    depends = {
        "order_id: int) -> None": "order_id: int, session=Depends(Session)) -> None",
        "    with Session(engine) as session:\n        item": "    if True:\n        item",
        "import FastAPI": "import Depends, FastAPI",
    }
    env = changed(settings, tmp_path, APP, depends)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        post(app, "/orders/tea")
        worker.wait_for("AttributeError: 'Depends' object has no attribute 'get_one'")
        becomes(app, 1, "FAILURE")


def run_tests(
    folder: Path, settings: dict[str, str], changes: dict[str, str] | None = None
) -> str:
    """Run the published tests where there is no Redis; the last line that they print."""
    for name in ("orders.py", "test_orders.py"):
        shutil.copy(FILES / name, folder)
    changed = folder / "orders.py"
    changed.write_text(with_changes(changed.read_text(), changes or {}))
    return without_redis(folder, settings)


def without_redis(folder: Path, settings: dict[str, str]) -> str:
    """Run the tests in a folder; the last line that they print."""
    path, nobody = settings["PYTHONPATH"], "redis://127.0.0.1:1"
    return last_line_of_pytest(folder, env={"PYTHONPATH": path, "BROKER": nobody})


def test_the_tests_of_this_page_pass_without_redis(
    settings: dict[str, str], tmp_path: Path
):
    """The tests shown here pass where nobody listens at Redis's port."""
    assert re.match("3 passed in ", run_tests(tmp_path, settings))


@pytest.mark.parametrize(
    "changes",
    [
        {"        send_receipt.apply_async([order.id], task_id=order.job)\n": ""},
        {"apply_async([order.id]": "apply_async([order.item]"},
        {'{item} done"': '{order_id} done"'},
    ],
    ids=["nothing sent", "another argument", "another receipt"],
)
def test_they_notice_a_job_that_is_missing_or_wrong(
    settings: dict[str, str], tmp_path: Path, changes: dict[str, str]
):
    """They fail if the job is not sent, if it is sent something else, or does something else."""
    assert re.match("[12] failed", run_tests(tmp_path, settings, changes))


EAGER = """
from celery import Celery
queue = Celery("shop", broker="redis://127.0.0.1:1")
queue.conf.task_always_eager = True
@queue.task
async def never(x): x.append(1)
@queue.task
def done(x): print("done", x, flush=True)
def test_async_def_succeeds():
    x = []
    assert never.delay(x).status == "SUCCESS" and x == []
def test_no_countdown(capsys):
    done.apply_async(["tea"], countdown=1_000_000)
    assert capsys.readouterr().out.startswith("done tea")
"""


@pytest.mark.filterwarnings("ignore")
def test_eager_is_another_world(settings: dict[str, str], tmp_path: Path):
    """With it a `countdown` is not waited for, and an `async def` task is `SUCCESS`, though its body has not run."""
    (tmp_path / "test_eager.py").write_text(EAGER)
    assert re.match("2 passed", without_redis(tmp_path, settings))


@pytest.mark.parametrize("pool", ["solo", "threads", "prefork"])
def test_each_pool_does_the_job(app: Server, settings: dict[str, str], pool: str):
    """On Linux the pools `solo` and `threads` do the same job as `prefork`."""
    post(app, "/orders/tea")
    with a_worker(settings, APP, "--pool", pool):
        becomes(app, 1, "SUCCESS")


def test_so_does_prefork_without_a_fork(settings: dict[str, str], tmp_path: Path):
    """So does `prefork` that forks nothing: `worker_pool_start_method = "spawn"`, since Celery 5.7."""
    started = "queue.conf.task_track_started = True\n"
    spawn = f'{started}queue.conf.worker_pool_start_method = "spawn"\n'
    env = changed(settings, tmp_path, APP, {started: spawn})
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app"):
        post(app, "/orders/tea")
        becomes(app, 1, "SUCCESS")
