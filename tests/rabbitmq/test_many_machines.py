"""The statements of docs/many-machines.md."""

import asyncio
import logging
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest
import yaml
from pamqp.common import FieldTable
from sqlalchemy import NullPool, create_engine, text
from taskiq import AsyncBroker
from taskiq_aio_pika import AioPikaBroker, Queue

from bench.trial import Receipts
from examples.many_machines.tasks import AT_LEAST_ONCE, ATTEMPTS, RABBITMQ
from runner import Server, ServerError, client, new_client, serve, services
from runner.needs import NEEDS, start_worker
from runner.process import FAILURES, PYTHON, ROOT, free_port, start
from runner.proxy import proxy
from runner.services import Service
from tests.copying import with_changes
from tests.load import AT_ONCE
from tests.orders import ask_until
from tests.services import in_a_thread, rabbitmq_url

pytestmark = [pytest.mark.slow, pytest.mark.long]

APP = "examples.many_machines.app:app"
TASKIQ = (*PYTHON, "taskiq")
Process = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def worker(settings: dict[str, str]) -> Process:
    """Starts a worker."""
    return partial(a_worker, settings)


@contextmanager
def a_worker(
    settings: dict[str, str], processes: int = 1, **more: str
) -> Iterator[Server]:
    """Run a worker, which may be quicker than the commit."""
    options = ("--workers", str(processes))
    needs = NEEDS["many_machines"]
    with start_worker(needs, APP, settings | more, *options) as worker:
        worker.expect("order [0-9]+ is not committed yet, or never")
        yield worker


def place(server: Server, number: int, item: str = "tea") -> httpx.Response:
    return client.put(f"{server.url}/orders/{number}", json={"item": item}, timeout=30)


def state(server: Server, number: int) -> dict[str, object]:
    return client.get(f"{server.url}/orders/{number}").json()


def until(server: Server, number: int, receipt: str) -> dict[str, object]:
    """Ask until the receipt of that order is "sent" or "failed"."""
    ask = partial(state, server, number)
    return ask_until(ask, lambda now: now["receipt"] == receipt, 30)


def one_receipt_is_sent(server: Server, worker: Process) -> None:
    """A worker that has done a later order's job too has started order 1's once."""
    with worker() as second:
        until(server, 1, "sent")
        place(server, 2)
        until(server, 2, "sent")
    said = "\n".join(line.text for line in second.lines)
    assert said.count("order 1 started") == 1


def health(server: Server) -> dict[str, int]:
    return client.get(f"{server.url}/health").json()


def test_the_job_runs_in_the_worker_and_the_client_reads_its_state(
    app: Server, worker: Process
):
    """The app answers `202` with no worker at all. A worker that starts later runs the job, and the client reads its state from the order."""
    answer = place(app, 7)
    assert answer.status_code == 202
    assert answer.json()["receipt"] == "waiting"
    with worker() as second:
        second.wait_for("send_receipt: order 7 done")
        assert until(app, 7, "sent")["attempts"] == 1
    assert place(app, 7).json()["receipt"] == "sent"
    assert place(app, 7, "coffee").status_code == 409
    assert client.get(f"{app.url}/orders/8").status_code == 404
    assert not any("send_receipt" in line.text for line in app.lines)


def test_endpoint_and_job_get_their_session_from_the_same_function(
    app: Server, worker: Process
):
    """`get_session` gives both their session. In the worker `request.app.state` is what the app's lifespan made there: it runs in each worker process too."""
    source = (ROOT / "examples/many_machines/app.py").read_text()
    assert "Depends(get_session)" in source
    with worker() as second:
        place(app, 1)
        second.wait_for("send_receipt: order 1 done")
        assert until(app, 1, "sent")["error"] is None


def test_a_job_that_fails_is_tried_again_later_and_later_and_given_up(
    app: Server, worker: Process
):
    """A job that raises runs three times, each time after a longer wait; then its order says `failed`, and why."""
    # Before the worker starts: a job that is quicker than the commit loses a try.
    place(app, 1, "refused")
    with worker() as second:
        second.expect("the mail server refused")
        times = [second.wait_for("order 1 started", nth=n).time for n in (1, 2, 3)]
        end = until(app, 1, "failed")
    assert times[2] - times[1] > times[1] - times[0] > 0.5
    assert end["attempts"] == 3
    assert "the mail server refused the connection" in str(end["error"])


def test_a_job_that_kills_its_workers_ends_in_the_dead_letter_queue(
    app: Server, worker: Process, settings: dict[str, str]
):
    """A job that takes its process with it is delivered four times. Then it is in the dead-letter queue, where `/health` counts it, and so is the innocent job that the same worker held each time. Later jobs are done. `send_forgotten`, sent by the scheduler, finds both in the database: it sends the innocent one's job again, and marks the deadly one's order as `failed`."""
    place(app, 1, "deadly")
    place(app, 2)
    with worker() as second:
        second.wait_for("order 1 started", nth=4, timeout=60)
        second.wait_for("Listening started", nth=5, timeout=30)
        place(app, 3)
        until(app, 3, "sent")
        assert health(app) == {"workers": 1, "waiting": 0, "dead": 2}
        assert [state(app, n)["receipt"] for n in (1, 2)] == ["waiting", "waiting"]
        with connect(settings) as database:  # five minutes later
            database.execute("update orders set due = due - 300")
            database.commit()
        with scheduler(settings):
            second.wait_for("send_forgotten: order 2")
        assert until(app, 1, "failed")["error"] == "its worker died"
        assert until(app, 2, "sent")


def connect(settings: dict[str, str]) -> closing[sqlite3.Connection]:
    """A connection to the orders."""
    file = settings["DATABASE"].partition(":///")[2].partition("?")[0]
    return closing(sqlite3.connect(file, timeout=60))


def test_what_waits_or_runs_is_not_sent_again(
    app: Server, worker: Process, settings: dict[str, str]
):
    """Two schedulers, by mistake, and two orders: of one the job was lost more than five minutes ago, that of the other waits in the queue. The first is sent by one of the sweeps, the second by none."""
    with connect(settings) as database:
        lost = "insert into orders (id, item, receipt, attempts, due) values (1, 'tea', 'waiting', 0, ?)"
        database.execute(lost, [time.time() - 1])
        database.commit()
    place(app, 2, "slow")
    with scheduler(settings), scheduler(settings), worker() as second:
        second.wait_for("Executing task .*send_forgotten", nth=2)
        second.wait_for("order 1 done")
        second.wait_for("order 2 done")
        said = second.transcript()
    assert re.findall("send_forgotten: order .", said) == ["send_forgotten: order 1"]
    assert [said.count(f"order {n} started") for n in (1, 2)] == [1, 1]


def scheduler(settings: dict[str, str]) -> AbstractContextManager[Server]:
    """Taskiq's scheduler, for which each minute is the time."""
    command = (*TASKIQ, "scheduler", "examples.many_machines.tasks:scheduler")
    env = settings | {"SWEEP": "* * * * *"}
    return start(command, env=env, ready="Startup completed")


def test_without_rabbitmq_a_503_in_bounded_time_and_nothing_half_done(
    rabbitmq: Service, app: Server, worker: Process
):
    """RabbitMQ killed, or frozen so that it accepts and never answers: the client gets `503` with `Retry-After` within four seconds, and there is no order. Back with its data, RabbitMQ gets orders from the same app and gives all jobs to the same worker. Nothing was restarted."""
    app.expect("AMQPConnectionError|ERROR:aio_pika")  # which is not there
    assert place(app, 1).status_code == 202
    with rabbitmq.frozen():
        asked = time.monotonic()
        frozen = place(app, 2)
        assert time.monotonic() - asked < 4
        assert client.get(f"{app.url}/health").status_code == 503
    with worker() as second:
        second.expect(FAILURES)  # RabbitMQ is not there
        second.wait_for("order 1 done")
        rabbitmq.kill()
        asked = time.monotonic()
        killed = place(app, 3)
        assert time.monotonic() - asked < 4
        assert client.get(f"{app.url}/health").status_code == 503
        rabbitmq.start()
        for answer in (frozen, killed):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
        assert client.get(f"{app.url}/orders/2").status_code == 404
        assert client.get(f"{app.url}/orders/3").status_code == 404
        ask_until(lambda: place(app, 3).status_code, lambda code: code == 202, 30)
        assert until(app, 3, "sent")["attempts"] == 1


def test_an_app_killed_before_the_commit_leaves_a_job_that_finds_nothing(
    app: Server, worker: Process, settings: dict[str, str]
):
    """The app dies when the job is sent and the order not committed: there is no order, and the job gives up after three attempts."""
    dying = serve("tests.dying:app", env=settings | {"DIES": "before_commit"})
    with dying as server, pytest.raises(httpx.RemoteProtocolError):
        place(server, 1)
    with worker() as second:
        second.wait_for("Maximum retries count is reached")
    assert client.get(f"{app.url}/orders/1").status_code == 404
    said = [line.text for line in second.lines]
    assert sum("order 1 is not committed yet, or never" in x for x in said) >= 3


def test_an_app_killed_after_the_commit_loses_nothing_and_the_client_may_ask_again(
    app: Server, worker: Process, settings: dict[str, str]
):
    """The app dies between commit and answer: the client sees a broken connection, asks again, and gets the order that is there. One receipt is sent."""
    dying = serve("tests.dying:app", env=settings | {"DIES": "after_commit"})
    with dying as server, pytest.raises(httpx.RemoteProtocolError):
        place(server, 1)
    assert place(app, 1).status_code == 202
    one_receipt_is_sent(app, worker)


def test_an_order_that_many_place_at_once_is_one(app: Server, worker: Process):
    """Twenty clients place the same order at the same moment: each gets `202` or `409`, and one receipt is sent."""
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(partial(place, app), [1] * AT_ONCE))
    codes = {answer.status_code for answer in answers}
    assert 202 in codes
    assert codes <= {202, 409}
    one_receipt_is_sent(app, worker)


def test_a_clean_stop_finishes_what_runs_and_leaves_the_rest(
    app: Server, worker: Process
):
    """`SIGTERM` lets the worker finish the job that it has begun; the next worker runs what came later, and none runs twice."""
    with worker() as first:
        place(app, 1, "slow")
        first.wait_for("order 1 started")
        first.stop(signal.SIGTERM, timeout=30)
    place(app, 2)
    with worker() as second:
        until(app, 2, "sent")
    assert until(app, 1, "sent")["attempts"] == 1
    assert "order 1 done" in "\n".join(line.text for line in first.lines)
    assert not any("order 1" in line.text for line in second.lines)


def test_an_app_that_stops_takes_leave_of_rabbitmq(
    rabbitmq: Service, settings: dict[str, str]
):
    """For an app that was stopped RabbitMQ logs that its connections were closed; for one that died, that the client closed them unexpectedly."""
    before = len(rabbitmq.log)
    with serve(APP, env=settings) as server:
        place(server, 1)
        server.stop()

    def of_connections(what: str) -> set[str]:
        connection = rf"{what} AMQP connection .*?:(\d+) ->"
        return set(re.findall(connection, rabbitmq.log[before:]))

    opened = of_connections("accepting")
    ask_until(lambda: of_connections("closing"), opened.issubset, 30)
    assert opened
    assert "client unexpectedly closed" not in rabbitmq.log[before:]


def test_a_worker_that_is_cut_off_loses_its_jobs_to_the_other(
    rabbitmq: Service, app: Server, worker: Process
):
    """The network of one worker is cut: RabbitMQ misses its heartbeats and gives its job to the other worker. Brought back, the first connects again by itself and takes new jobs."""
    with proxy(rabbitmq.port) as between:
        url = rabbitmq_url(rabbitmq, between.port) + "?heartbeat=2"
        with worker(RABBITMQ=url) as far:
            far.expect(FAILURES)  # it is cut off
            place(app, 1, "slow")
            far.wait_for("order 1 started")
            with between.frozen(), worker() as near:
                near.wait_for("order 1 ", timeout=30)
                place(app, 2)
                near.wait_for("order 2 done")
            place(app, 3)
            far.wait_for("order 3 done", timeout=30)
    assert until(app, 1, "sent")


def test_the_interval_of_the_heartbeats_is_that_of_the_address(rabbitmq: Service):
    """The interval of the heartbeats is that of the address; without one aio-pika asks for 60 seconds."""

    async def interval(options: str) -> int:
        connection = await aio_pika.connect(rabbitmq_url(rabbitmq) + options)
        async with connection:
            assert connection.transport
            agreed: int = connection.transport.connection.heartbeat_timeout
            return agreed

    assert in_a_thread(interval("?heartbeat=7")).result() == 7
    assert in_a_thread(interval("")).result() == 60


def test_the_trace_goes_on_from_the_request_into_the_worker(
    settings: dict[str, str],
):
    """The request's trace id is the job's: one trace holds the request, the sending, and the work in the other process."""
    settings |= {"OTEL_TRACES_EXPORTER": "console"}
    with serve(APP, env=settings) as app, a_worker(settings) as worker:
        place(app, 1)
        request = app.wait_for("trace .*PUT /orders").text
        sent = app.wait_for("trace .*send/").text
        worked = worker.wait_for("trace .*execute/").text
    assert len({line.split(":")[0] for line in (request, sent, worked)}) == 1


def test_health_tells_of_workers_of_waiting_and_of_dead_jobs(
    app: Server, worker: Process
):
    """`/health` counts the workers that listen, the jobs that wait and those that were given up."""
    place(app, 1)
    place(app, 2)
    assert health(app) == {"workers": 0, "waiting": 2, "dead": 0}
    with worker(2):
        until(app, 1, "sent")
        until(app, 2, "sent")
        idle = {"workers": 2, "waiting": 0, "dead": 0}
        ask_until(partial(health, app), lambda now: now == idle, 30)


@pytest.mark.queues
def test_1000_jobs_and_every_kill_lose_none(
    rabbitmq: Service, settings: dict[str, str], postgresql: str
):
    """1000 orders from clients that ask again until they get `202`. Meanwhile `SIGKILL` to a worker, to the app, and at last to app, workers and RabbitMQ at once. When all are back, each order has its receipt. Some jobs were started twice, at most the ten that a worker holds at each kill; the row says `sent` once."""
    settings |= {"DATABASE": postgresql}
    current: list[Server] = []
    lives: list[Server] = []
    receipts = Receipts()
    with PatientClients(current) as clients:
        with serve(APP, env=settings) as app, a_worker(settings) as first:
            current.append(app)
            lives.append(first)
            for server in (app, first):
                server.expect(FAILURES)
            answers = [clients.submit(clients.insist, n) for n in range(1, 1001)]
            first.wait_for("receipt: order .* done", nth=100, timeout=60)
            first.kill()
            with a_worker(settings) as second:
                lives.append(second)
                second.expect(FAILURES)
                second.wait_for("receipt: order .* done", nth=100, timeout=60)
                app.kill()
                with serve(APP, env=settings) as again:
                    current.append(again)
                    again.expect(FAILURES)
                    second.wait_for("receipt: order .* done", nth=200, timeout=60)
                    rabbitmq.kill()
        assert len(receipts.said(lives, "done")) < 1000
        rabbitmq.start()
        with serve(APP, env=settings) as app, a_worker(settings) as third:
            current.append(app)
            lives.append(third)
            app.expect(FAILURES)
            for answer in answers:
                answer.result()
            wait_for_sent(postgresql, 1000)
    assert set(receipts.said(lives, "done")) == set(range(1, 1001))
    twice = [n for n, times in receipts.said(lives, "started").items() if times > 1]
    assert len(twice) <= 3 * 10


class PatientClients(ThreadPoolExecutor):
    """Clients that ask the last of these servers, again and again."""

    def __init__(self, current: list[Server]) -> None:
        super().__init__(AT_ONCE)
        self._current = current
        limits = httpx.Limits(max_connections=AT_ONCE)
        self._client = new_client(timeout=30, limits=limits)

    def __exit__(self, *failed: Any) -> None:
        """Wait for what they ask, and close their connections."""
        super().__exit__(*failed)
        self._client.close()

    def insist(self, number: int) -> None:
        """Place an order until it is taken. Fails if it is not within 90 seconds."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            order = f"{self._current[-1].url}/orders/{number}"
            with suppress(httpx.TransportError):
                if self._client.put(order, json={"item": "tea"}).status_code == 202:
                    return
            time.sleep(0.1)
        raise AssertionError(f"order {number} was not taken")


AS_ON_PYTHON_3_14 = """
import multiprocessing, sys
from taskiq.__main__ import main
multiprocessing.set_start_method("forkserver")
sys.exit(main())
"""


@pytest.mark.parametrize("basic_config", [True, False])
def test_on_python_3_14_a_worker_logs_if_its_module_sets_logging_up(
    basic_config: bool, settings: dict[str, str], tmp_path: Path
):
    """Python 3.14 starts the worker's processes by `forkserver` on Linux, and they do not have the logging that Taskiq set up in the first one. With `logging.basicConfig` in the module of the broker they log; without it they work, and are silent."""
    shutil.copytree(ROOT / "examples/many_machines", tmp_path / "shop")
    tasks = tmp_path / "shop/tasks.py"
    changes = {} if basic_config else {'logging.basicConfig(level="INFO")': ""}
    tasks.write_text(with_changes(tasks.read_text(), changes))
    options = ("worker", "--workers", "1", "shop.tasks:broker")
    command = (sys.executable, "-c", AS_ON_PYTHON_3_14, *options)
    with (
        serve("shop.app:app", cwd=tmp_path, env=settings) as app,
        start(command, cwd=tmp_path, env=settings, ready="Started process") as worker,
    ):
        worker.expect("order 1 is not committed yet, or never")
        place(app, 1)
        worker.wait_for("order 1 done")
        until(app, 1, "sent")
        logged = "Listening started" in worker.transcript()
    assert logged == basic_config


def wait_for_sent(postgresql: str, count: int) -> None:
    """Wait until so many orders say that their receipt is sent."""
    engine = create_engine(postgresql, poolclass=NullPool)
    with engine.connect() as connection:  # each query sees what is new
        connection.execution_options(isolation_level="AUTOCOMMIT")
        query = text("select count(*) from orders where receipt = 'sent'")
        ask_until(lambda: connection.scalar(query), lambda n: n == count, 60)


def test_a_job_that_the_worker_does_not_know_is_gone(
    app: Server, worker: Process, settings: dict[str, str]
):
    """The worker says that the task is not found, and the job has left the queue: it was acknowledged."""
    place(app, 1)
    command = (*TASKIQ, "worker", "--workers", "1", f"{__name__}:ignorant")
    with start(command, env=settings, ready="Listening started") as old:
        old.wait_for("send_receipt.* is not found")
        old.stop(timeout=30)
    with worker() as second:
        place(app, 2)
        until(app, 2, "sent")
    assert state(app, 1)["receipt"] == "waiting"
    assert not any("order 1" in line.text for line in second.lines)


def ignorant() -> AsyncBroker:
    """The broker of a worker that was deployed before its tasks."""
    logging.basicConfig(level="INFO")
    declared: FieldTable = {  # RabbitMQ refuses any other
        "x-delivery-limit": 3,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    queue = Queue(name="receipts", arguments=declared)
    dead = Queue(name="receipts.dead")
    return AioPikaBroker(
        os.environ["RABBITMQ"], task_queues=[queue], dead_letter_queue=dead
    )


def test_without_rabbitmq_no_app_starts_and_a_worker_tries_again(
    settings: dict[str, str],
):
    """With nobody at RabbitMQ's address the app ends with an error. The worker's process does so too, and its main process starts it again and again."""
    nobody = {"RABBITMQ": f"amqp://guest:guest@127.0.0.1:{free_port()}/"}
    with (
        pytest.raises(ServerError, match="Application startup failed"),
        serve(APP, env=settings | nobody),
    ):
        pass
    again = "is dead. Scheduling reload"
    needs = replace(NEEDS["many_machines"], ready=again)
    with start_worker(needs, APP, settings | nobody, "--workers", "1") as worker:
        worker.expect("AMQPConnectionError")
        worker.wait_for(again, nth=2, timeout=30)


def test_the_children_of_a_killed_worker_go_on(app: Server, worker: Process):
    """The job of a child is done after its parent is dead, and so are jobs that come later."""
    with worker() as first:
        place(app, 1, "slow")
        first.wait_for("order 1 started")
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        first.wait_for("order 1 done")
        place(app, 2)
        first.wait_for("order 2 done")


def test_the_limit_of_a_queue_cannot_be_changed(rabbitmq: Service, app: Server):
    """RabbitMQ refuses to declare the queue of the app again with another `x-delivery-limit`."""

    async def declare(limit: int) -> None:
        arguments = {
            **AT_LEAST_ONCE,
            "x-queue-type": "quorum",
            "x-delivery-limit": limit,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "receipts.dead",
        }
        async with await aio_pika.connect(rabbitmq_url(rabbitmq)) as connection:
            channel = await connection.channel()
            await channel.declare_queue("receipts", durable=True, arguments=arguments)

    in_a_thread(declare(ATTEMPTS)).result()
    refusal = str(in_a_thread(declare(ATTEMPTS + 2)).exception())
    assert "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit'" in refusal


@pytest.mark.queues
def test_rabbitmq_keeps_a_job_until_the_queue_that_it_moves_to_has_it(tmp_path: Path):
    """A job is given up while there is no `receipts.dead`, and another falls due while there is no `receipts`. RabbitMQ keeps both, and moves them when an app that starts has declared the queues. Without `at-least-once` they are gone."""
    often = {"dead_letter_worker_publisher_confirm_timeout": 500}
    with services.started("rabbitmq", tmp_path / "rabbitmq", **often) as service:
        settings = NEEDS["many_machines"].settings(service, tmp_path)
        url = rabbitmq_url(service)
        with serve(APP, env=settings) as app:
            place(app, 1)
            in_a_thread(give_up_without_dead_letters(url)).result()
        with serve(APP, env=settings) as app:
            given_up = {"workers": 0, "waiting": 0, "dead": 1}
            ask_until(partial(health, app), lambda now: now == given_up, 30)
            in_a_thread(delay_without_receipts(url)).result()
        with serve(APP, env=settings) as app:
            came = {"workers": 0, "waiting": 1, "dead": 1}
            ask_until(partial(health, app), lambda now: now == came, 30)


async def give_up_without_dead_letters(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("receipts.dead")
        jobs = await channel.declare_queue("receipts", passive=True)
        job = await jobs.get()
        assert job
        await job.reject()


async def delay_without_receipts(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_delete("receipts")
        job = aio_pika.Message(b"", expiration=0.1)
        await channel.default_exchange.publish(job, "receipts.delay")
        async with asyncio.timeout(30):
            while (
                await channel.declare_queue("receipts.delay", passive=True)
            ).declaration_result.message_count:
                await asyncio.sleep(0.05)


@pytest.mark.queues
def test_a_job_longer_than_consumer_timeout_is_started_again(tmp_path: Path):
    """With a `consumer_timeout` of one second, a job of two seconds is given away again while it still runs, in this test to the same worker, until it finds its receipt sent. The worker goes on: later jobs are done."""
    limits = {"consumer_timeout": 1000, "channel_tick_interval": 500}
    with services.started("rabbitmq", tmp_path / "rabbitmq", **limits) as service:
        settings = NEEDS["many_machines"].settings(service, tmp_path)
        with serve(APP, env=settings) as app, a_worker(settings) as worker:
            place(app, 1, "slow")
            worker.expect("ChannelInvalidStateError")  # of the job that comes too late
            worker.wait_for("order 1 started", nth=2)
            assert not any("order 1 done" in line.text for line in worker.lines)
            worker.wait_for("order 1 has its receipt", timeout=30)
            place(app, 2)
            until(app, 2, "sent")


def test_a_copy_of_the_folder_runs_alone_and_has_no_5xx(
    settings: dict[str, str], tmp_path: Path
):
    """Copied to an empty folder as `shop`, it is started with `uvicorn shop.app:app`."""
    from tests.fuzzing import faults

    folder = ROOT / "examples/many_machines"
    shutil.copytree(folder, tmp_path / "shop", ignore=shutil.ignore_patterns("__py*"))
    with serve("shop.app:app", cwd=tmp_path, env=settings) as server:
        assert faults(server.url) == []


def test_compose_starts_what_app_and_worker_ask_for():
    """`compose.yaml` is valid for Docker Compose, and starts RabbitMQ and PostgreSQL where the two settings say they are."""
    folder = ROOT / "examples/many_machines"
    for compose in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(compose[0]):
            run = partial(subprocess.run, cwd=folder, capture_output=True, text=True)
            if run([*compose, "version"]).returncode == 0:
                checked = run([*compose, "config", "--quiet"])
                assert checked.returncode == 0, checked.stderr
                break
    else:
        pytest.skip("needs Docker Compose (Debian: apt install docker-compose)")
    file = yaml.safe_load((folder / "compose.yaml").read_text())
    services = file["services"].values()
    ports = {port.split(":")[1] for service in services for port in service["ports"]}
    assert ports == {"5672", "5432"}
    assert RABBITMQ.endswith("@127.0.0.1:5672/%2F")
    kept = {volume.split(":")[0] for each in services for volume in each["volumes"]}
    assert kept == set(file["volumes"])
