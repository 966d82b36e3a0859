"""The statements of docs/celery.md."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from bench.trial import kill, trial
from bench.ways import WAYS
from runner import Server, client, serve
from runner.needs import NEEDS, start_worker
from runner.proxy import Proxy, proxy
from runner.services import Service
from tests.copying import changed
from tests.orders import answers_without, ask_until, place, state
from tests.services import rabbitmq_url, redis_cli, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.celery.receipts:app"
DEFAULTS = "bench.celery_defaults:app"
CHORD = "examples.celery.chord:app"
MODEL = "examples.celery.model_per_process:app"
REQUEST_ID = "examples.celery.request_id:app"
WAITING = "examples.celery.waiting_for_a_result:app"


def keys_of_results() -> Counter[str]:
    """What Redis has beside queues and their names, by type, and whether it ends."""
    found: Counter[str] = Counter()
    for key in redis_cli("--scan").split():
        if not key.startswith(("_kombu", "unacked")) and key != "celery":
            end = "ends" if int(redis_cli("ttl", key)) > 0 else "stays"
            found[f"{redis_cli('type', key).strip()} {end}"] += 1
    return found


def a_worker(
    settings: dict[str, str], target: str = APP, *options: str
) -> AbstractContextManager[Server]:
    module = target.removesuffix(":app")
    options = ("--concurrency", "2", *options)
    return start_worker(NEEDS["celery"], module, settings, *options)


def test_the_job_runs_in_the_worker_and_its_state_can_be_read(
    app: Server, settings: dict[str, str]
):
    """A job is `PENDING` before a worker has it, and so is any id that does not exist. When a worker has run it, it is `SUCCESS`."""
    job = place(app, 7).json()["job"]
    before = state(app, job)
    assert before == state(app, "no-such-job")
    assert before == {"status": "PENDING", "error": None}
    with a_worker(settings) as worker:
        worker.wait_for("send_receipt: order 7 done")
        worker.wait_for("succeeded in")
    assert state(app, job)["status"] == "SUCCESS"


def test_a_job_that_fails_is_tried_three_times(app: Server, settings: dict[str, str]):
    """`autoretry_for` runs it again after a wait, random with a limit that grows; then it is `FAILURE`, with the error."""
    job = place(app, 1, "refused").json()["job"]
    with a_worker(settings) as worker:
        worker.wait_for("order 1 started", nth=3, timeout=30)
        worker.wait_for("raised unexpected")
    end = state(app, job)
    assert end["status"] == "FAILURE"
    assert "refused the connection" in end["error"]


def test_on_redis_a_killed_worker_loses_one_job_at_most_with_these_settings():
    """`SIGKILL` to the worker and its processes: the jobs that ran are started a second time, and all others are done. The one that the worker was just taking from Redis may be lost."""
    way = replace(WAYS["Celery, Redis"], path="/orders/{number}/slow")
    outcome = kill(way, "worker", jobs=30, after=1, patience=20)
    assert outcome.lost <= 1
    assert outcome.twice > 0


def test_a_worker_takes_no_more_than_it_runs(app: Server, settings: dict[str, str]):
    """With `task_acks_late` and `worker_prefetch_multiplier=1` a worker of two processes takes two of four long jobs, though it is the only one that looks; the other two are begun by a second worker at once. Without one of the two settings more would wait in the first."""
    with a_worker(settings) as first, a_worker(settings) as second:
        with second.frozen():
            for number in range(1, 5):
                place(app, number, "long")
            first.wait_for("order . started", nth=2)
        second.wait_for("order . started", nth=2)


def test_on_redis_a_job_longer_than_the_visibility_timeout_is_started_again(
    app: Server, settings: dict[str, str]
):
    """With a `visibility_timeout` of two seconds, a job of six seconds is started a second time while it runs."""
    place(app, 1, "long")
    with a_worker(settings | {"LONGEST_JOB": "2"}) as worker:
        worker.wait_for("order 1 started", nth=2)
        assert not any("order 1 done" in line.text for line in worker.lines)


IGNORED = {"(**options)": "(**options, ignore_result=True)"}
BY_RPC = {"RESULTS": "rpc://"}


@pytest.mark.parametrize(
    ("more", "changes", "kinds"),
    [({}, {}, {"string ends": 3}), (BY_RPC, {}, {"list stays": 1}), ({}, IGNORED, {})],
)
def test_results_end_after_a_day_in_redis_and_never_in_rpc(
    more: dict[str, str],
    changes: dict[str, str],
    kinds: dict[str, int],
    settings: dict[str, str],
    tmp_path: Path,
):
    """Three jobs, whose results nobody reads. In Redis each has a key `celery-task-meta-…` that ends after a day (`result_expires`). With `rpc://` on Redis they lie in a list that has a UUID for its name, and never ends: one for each thread that sends. With `ignore_result=True` there are none."""
    env = changed(settings | more, tmp_path, APP, changes)
    before = keys_of_results()
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        for number in (1, 2, 3):
            place(app, number)
        worker.wait_for("succeeded in", nth=3)
    assert keys_of_results() - before == kinds


def test_a_deadly_job_is_started_again_and_again(app: Server, settings: dict[str, str]):
    """A job that kills its process comes back each time. Celery has no limit for that: before the work, write each start into a table and commit, and give up after the third."""
    place(app, 1, "deadly")
    with a_worker(settings) as worker:
        worker.expect("SIGKILL")
        worker.wait_for("order 1 started", nth=4, timeout=60)


def test_get_in_async_def_blocks_every_other_request(settings: dict[str, str]):
    """While an `async def` endpoint waits in `result.get()`, `/ping` waits too. A `def` endpoint waits in a thread."""
    with (
        serve(WAITING, env=settings) as server,
        a_worker(settings, WAITING) as worker,
        ThreadPoolExecutor(1) as clients,
    ):
        for number, path in enumerate(("/def", "/async-def"), 1):
            waiting = clients.submit(client.get, server.url + path, timeout=20)
            worker.wait_for("add: started", nth=number)
            asked = time.monotonic()
            client.get(f"{server.url}/ping", timeout=20)
            blocked = time.monotonic() - asked > 0.5
            assert waiting.result().json() == 3
            assert blocked == (path == "/async-def")


def test_without_redis_the_client_gets_503_in_bounded_time(app: Server, redis: Service):
    """Redis is frozen, so that it accepts and never answers, or killed: whoever places an order or asks for a job gets `503` within ten seconds. When it is back, so is the app."""
    assert place(app, 1).status_code == 202
    for answer in answers_without(redis, app):
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 10
    assert place(app, 3).status_code == 202


def test_a_worker_that_holds_no_job_takes_jobs_again_when_redis_is_back(
    app: Server, settings: dict[str, str], redis: Service
):
    """Redis is killed and started again on its port, three times: the worker prints `Cannot connect`, tries again after 2, 4, 6 seconds and so on, and when it is `Connected` it takes the next job."""
    with a_worker(settings) as worker:
        worker.expect("Connection to broker lost|Error on restarting")
        for number in (1, 2, 3):
            redis.kill()
            worker.wait_for("Cannot connect to redis.*refused", nth=number)
            redis.start()
            worker.wait_for("Connected to redis", nth=number + 1)
            assert place(app, number).status_code == 202
            worker.wait_for(f"order {number} done")
            ask_until(lambda: redis_cli("hlen", "unacked"), lambda n: n == "0\n", 30)


def test_a_worker_that_holds_a_job_ends_when_redis_is_restarted(
    app: Server, settings: dict[str, str], redis: Service
):
    """A worker that has a job which it has not acknowledged, here one that runs, prints `Unrecoverable error: AttributeError("'NoneType' object has no attribute 'hostname'")`, lets what runs come to its end, and ends. Started again, it takes the next job at once, and the unacknowledged one after `visibility_timeout`, here six seconds: that job runs twice."""
    settings = settings | {"LONGEST_JOB": "6"}
    place(app, 1, "slow")
    with a_worker(settings) as first:
        first.expect("Error on (re)?st|Connection to broker lost")
        first.wait_for("order 1 started")
        redis.kill()
        redis.start()
        first.wait_for("Unrecoverable error: AttributeError.*'hostname'")
        assert first.wait() != 0
        assert any("order 1 done" in line.text for line in first.lines)
    place(app, 2)
    with a_worker(settings) as second:
        second.wait_for("order 2 done")
        second.wait_for("order 1 done")


@contextmanager
def behind_a_proxy(
    settings: dict[str, str], folder: Path, redis: Service, options: str = ""
) -> Iterator[tuple[Server, Server, Proxy]]:
    """An app, a worker that has done order 1, and the proxy in front of the worker's Redis."""
    timeout = '"socket_timeout": 3,'
    env = changed(settings, folder, APP, {timeout: f"{timeout} {options}"})
    with serve("changed:app", env=env) as app, proxy(redis.port) as between:
        through = env | {"BROKER": f"redis://127.0.0.1:{between.port}"}
        with a_worker(through, "changed:app") as worker:
            place(app, 1)
            worker.wait_for("order 1 done")
            ask_until(lambda: redis_cli("hlen", "unacked"), lambda n: n == "0\n", 30)
            yield app, worker, between


def test_a_worker_whose_connection_is_reset_takes_the_next_job(
    settings: dict[str, str], tmp_path: Path, redis: Service
):
    """What stands between worker and Redis closes their connections: the worker prints `Connection to broker lost`, connects again, and takes the next job."""
    with behind_a_proxy(settings, tmp_path, redis) as (app, worker, between):
        between.reset()
        worker.wait_for("Connection to broker lost")
        place(app, 2)
        worker.wait_for("order 2 done", timeout=60)


def test_a_dead_connection_swallows_a_job_and_is_noticed_later(
    settings: dict[str, str], tmp_path: Path, redis: Service
):
    """The connections stay open, and nothing gets through them any more. Redis gives the next job to the dead connection: it is lost, also with `task_acks_late`. Later the worker prints `Redis BRPOP got no reply`, connects again, and takes what comes after that."""
    options = '"health_check_interval": 2, "polling_interval": 20,'
    with behind_a_proxy(settings, tmp_path, redis, options) as (app, worker, between):
        between.forget()
        lost = place(app, 2).json()["job"]
        worker.wait_for("BRPOP got no reply", timeout=60)
        place(app, 3)
        worker.wait_for("order 3 done", timeout=60)
        assert "order 2" not in worker.transcript()
    there = redis_cli("lrange", "celery", "0", "-1") + redis_cli("hvals", "unacked")
    assert lost not in there


def test_a_frozen_RabbitMQ_is_waited_for(rabbitmq: Service):
    """RabbitMQ is frozen: after eight seconds the request still waits. It is answered when RabbitMQ goes on."""
    with (
        trial(WAYS["Celery, RabbitMQ"], rabbitmq) as way,
        ThreadPoolExecutor(1) as clients,
    ):
        assert place(way.app, 1).status_code == 202
        with rabbitmq.frozen():
            waiting = clients.submit(place, way.app, 2)
            with pytest.raises(TimeoutError):
                waiting.result(8)
        assert waiting.result().status_code == 202


@contextmanager
def still_waits(order: Callable[[], httpx.Response]) -> Iterator[None]:
    """Place an order before the block, which waits in its beginning, and is a 500 after it."""
    with ThreadPoolExecutor(1) as clients:
        waiting = clients.submit(order)
        with pytest.raises(TimeoutError):
            waiting.result(5)
        yield
        assert waiting.result(60).status_code == 500


def test_without_RabbitMQ_the_client_gets_503_if_results_are_kept_in_redis(
    rabbitmq: Service, settings: dict[str, str]
):
    """RabbitMQ is killed, and the results are kept in Redis: `503`. With `rpc://` the request waits for RabbitMQ's return, and is a `500` then."""
    env = settings | {"RESULTS": settings["BROKER"], "BROKER": rabbitmq_url(rabbitmq)}
    with serve(APP, env=env) as app, serve(APP, env=env | BY_RPC) as by_rpc:
        assert place(app, 1).status_code == place(by_rpc, 2).status_code == 202
        by_rpc.expect("Traceback|ERROR")
        rabbitmq.kill()
        assert place(app, 3).status_code == 503
        with still_waits(partial(place, by_rpc, 4)):
            rabbitmq.start()


def test_with_the_defaults_a_killed_worker_loses_what_it_ran(settings: dict[str, str]):
    """With Celery's defaults a job is acknowledged just before it runs. Killed with its worker, it is not run again, and its state says that it is `PENDING`."""
    with serve(DEFAULTS, env=settings) as app:
        job = place(app, 1, "slow").json()["job"]
        with a_worker(settings, DEFAULTS) as first:
            first.wait_for("order 1 started")
            first.kill()
        with a_worker(settings, DEFAULTS) as second:
            place(app, 2)
            second.wait_for("order 2 done")
            assert not any("order 1" in line.text for line in second.lines)
        assert state(app, job)["status"] == "PENDING"


def resized(worker: Server) -> int:
    """How many pictures, so far."""
    return len(re.findall(r"resize: picture \d+", worker.transcript()))


def test_a_chord_runs_its_callback_when_all_parts_are_done(settings: dict[str, str]):
    """The callback runs once, when the last part is done, with the results in the order of the parts."""
    with serve(CHORD, env=settings) as app, a_worker(settings, CHORD) as worker:
        job = client.post(f"{app.url}/albums/12").json()["job"]
        names = " ".join(f"{number}.webp" for number in range(1, 13))
        worker.wait_for(f"publish_album: {names}$")
        assert resized(worker) == 12
        done = {"status": "SUCCESS", "error": None}
        ask_until(lambda: state(app, job), lambda now: now == done, 60)
        assert worker.transcript().count("publish_album: ") == 1


def test_if_a_part_fails_the_callback_of_a_chord_never_runs(settings: dict[str, str]):
    """If one part fails, the others are done, and the callback is not run: its state is `FAILURE`, with a `ChordError` that names the part. What `on_error` names is called."""
    with serve(CHORD, env=settings) as app, a_worker(settings, CHORD) as worker:
        worker.expect("ChordError|ValueError")
        job = client.post(f"{app.url}/albums/15").json()["job"]
        worker.wait_for("tell_the_owner: ChordError.*picture 13 is no picture")
        ask_until(lambda: state(app, job)["status"], lambda s: s == "FAILURE", 60)
        error = state(app, job)["error"]
        assert re.match("ChordError.*picture 13 is no picture", error)
        assert resized(worker) == 14
        assert "publish_album: " not in worker.transcript()


def test_a_chord_needs_a_result_backend(settings: dict[str, str], tmp_path: Path):
    """Without `backend=` nothing is sent: `NotImplementedError`, `Starting chords requires a result backend to be configured`."""
    without = {"broker=BROKER, backend=BROKER)": "broker=BROKER)"}
    env = changed(settings, tmp_path, CHORD, without)
    with serve("changed:app", env=env) as app:
        assert client.post(f"{app.url}/albums/3").status_code == 500
        app.wait_for("NotImplementedError: Starting chords requires a result backend")
    assert redis_cli("llen", "celery") == "0\n"


def classify(app: Server, *texts: str) -> None:
    for text in texts:
        assert client.post(f"{app.url}/texts/{text}").status_code == 202


def test_each_process_of_a_worker_loads_its_own_model(settings: dict[str, str]):
    """With `worker_process_init` each of two processes loads it once, before its first job. The app loads none."""
    with serve(MODEL, env=settings) as app, a_worker(settings, MODEL) as worker:
        worker.wait_for("Model: loaded", nth=2)
        classify(app, "tea", "milk", "coffee", "sugar")
        worker.wait_for("classify: .* in process", nth=4)
        said = worker.transcript()
        loaded = re.findall(r"Model: loaded in process (\d+)", said)
        used = re.findall(r"classify: .* in process (\d+)", said)
        assert len(set(loaded)) == len(loaded) == 2
        assert {*used} <= {*loaded}
        assert "Model" not in app.transcript()


def test_a_model_loaded_before_the_fork_is_that_of_another_process(
    settings: dict[str, str], tmp_path: Path
):
    """Loaded when the module is imported, it is loaded once, in the worker's first process, and every job fails: `this model was loaded in another process`."""
    early = {"@worker_process_init.connect\n": "", "app = F": "load_model()\napp = F"}
    env = changed(settings, tmp_path, MODEL, early)
    with serve("changed:app", env=env) as app, a_worker(env, "changed") as worker:
        classify(app, "tea", "milk")
        worker.wait_for("RuntimeError: this model was loaded in another", nth=2)
        assert worker.transcript().count("Model: loaded") == 1


@pytest.mark.parametrize(("seconds", "killed"), [("4", True), ("60", False)])
def test_a_process_that_loads_for_longer_than_it_may_is_killed(
    seconds: str, killed: bool, settings: dict[str, str], tmp_path: Path
):
    """A process that takes the place of another, here with `--max-tasks-per-child 1`, has four seconds to load its model unless `worker_proc_alive_timeout` says otherwise. Then it is killed, `Timed out waiting for UP message`, and the next one too, and no job is done. The first processes have no such limit."""
    limit = {"alive_timeout = 60": f"alive_timeout = {seconds}"}
    env = changed(settings, tmp_path, MODEL, limit) | {"SECONDS_TO_LOAD": "6"}
    options = ("--concurrency", "1", "--max-tasks-per-child", "1")
    with (
        serve("changed:app", env=env) as app,
        a_worker(env, "changed", *options) as worker,
    ):
        worker.expect("SIGKILL|UP message")
        classify(app, "tea", "milk")
        worker.wait_for("classify: tea")
        if killed:
            worker.wait_for("Timed out waiting for UP message", nth=2)
            assert "classify: milk" not in worker.transcript()
        else:
            worker.wait_for("classify: milk")
            assert "UP message" not in worker.transcript()


def order_with(app: Server, name: str, order: str) -> httpx.Response:
    """Place an order with that id of the request."""
    return client.post(f"{app.url}/orders/{order}", headers={"X-Request-ID": name})


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_the_lines_of_a_job_carry_the_id_of_the_request_that_sent_it(
    pool: str, tmp_path: Path
):
    """What a job logs has the id of its request; so has a second try, and a job that it sends. Twenty requests, in two processes or threads, do not mix their ids."""
    settings = settings_of(REQUEST_ID, tmp_path)
    with (
        serve(REQUEST_ID, env=settings) as app,
        a_worker(settings, REQUEST_ID, "--pool", pool) as worker,
    ):
        worker.expect("refused the connection")
        assert order_with(app, "again", "refused").status_code == 202
        assert order_with(app, "a b", "refused").status_code == 422
        worker.wait_for(r"\[again\] send_receipt: started", nth=2)
        for number in range(20):
            answer = order_with(app, f"id-{number}", f"tea-{number}")
            assert answer.json() == {"request": f"id-{number}"}
        worker.wait_for("count_sale: tea-", nth=20)
        for number in range(20):
            worker.wait_for(rf"\[id-{number}\] count_sale: tea-{number}$")
