"""The statements of docs/delayed-jobs.md, and the table of docs/in-ten-minutes.md by cell."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from runner import Server, client, serve, services
from runner.needs import needs_of, prepare, start_worker
from runner.process import ROOT
from tests.orders import ask_until
from tests.services import running, settings_of

pytestmark = pytest.mark.slow

NEED_PACKAGES = ["Celery", "arq", "RQ", "Dramatiq"]
TARGETS = {
    "Celery": "examples.delayed_jobs.with_celery:app",
    "arq": "examples.delayed_jobs.with_arq:app",
    "RQ": "examples.delayed_jobs.with_rq:app",
    "Dramatiq": "examples.delayed_jobs.with_dramatiq:app",
    "Taskiq": "examples.delayed_jobs.with_taskiq:app",
    "Procrastinate": "examples.delayed_jobs.with_procrastinate:app",
    "DBOS": "examples.delayed_jobs.with_dbos:app",
}
RESCUED = {"RQ": ("--maintenance-interval", "5", "--worker-ttl", "20")}
"""Options with which a worker looks more often for what a killed one has left."""

each_queue = pytest.mark.parametrize(
    "queue",
    [
        pytest.param(name, marks=[pytest.mark.queues] * (name in NEED_PACKAGES))
        for name in TARGETS
    ],
)


class Shop:
    """An app with a queue's example; its workers are started one by one."""

    def __init__(self, queue: str, env: dict[str, str], stack: ExitStack) -> None:
        self.queue = queue
        self._env = env
        self._target = TARGETS[queue]
        self._needs = needs_of(self._target)
        prepare(self._needs, self._module, env)
        if self._needs.worker:
            self.app = stack.enter_context(serve(self._target, env=env))

    @property
    def _module(self) -> str:
        return self._target.removesuffix(":app")

    @contextmanager
    def worker(self, *options: str, scheduler: bool = True) -> Iterator[Server]:
        """A worker; without workers of its own that is the app."""
        if not self._needs.worker:
            with serve(self._target, env=self._env) as self.app:
                yield self.app
            return
        if self.queue == "RQ" and scheduler:
            options = ("--with-scheduler", *options)
        with start_worker(self._needs, self._module, self._env, *options) as worker:
            yield worker

    def plan(self, order: int, seconds: float) -> str:
        """Ask for a reminder; the id of the job."""
        answer = self.ask(order, seconds)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job"])

    def ask(self, order: int, seconds: float) -> httpx.Response:
        url = f"{self.app.url}/orders/{order}/reminders"
        return client.post(url, params={"seconds": seconds})

    def cancel(self, job: str) -> httpx.Response:
        return client.delete(f"{self.app.url}/reminders/{job}")


@contextmanager
def shop(queue: str, folder: Path, **env: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(queue, settings_of(TARGETS[queue], folder) | env, stack)


def cells(page: str) -> dict[str, list[str]]:
    """The table of a page: the cells behind each queue's name."""
    rows = {}
    for line in (ROOT / f"docs/{page}.md").read_text().splitlines():
        if (found := re.match(r"\| \[?(\w+)", line)) and found[1] in TARGETS:
            rows[found[1]] = [cell.strip() for cell in line.split("|")[2:-1]]
    return rows


def reminded(server: Server, order: int) -> int:
    """How often, so far."""
    said = "\n".join(line.text for line in server.lines)
    return len(re.findall(rf"remind: order {order}\b", said))


@each_queue
def test_each_queue_runs_the_job_later(queue: str, tmp_path: Path):
    """Each queue, written as in the table, runs a job that is to begin in two seconds, and no sooner."""
    code = re.search("`(.+?)`", cells("in-ten-minutes")[queue][0])
    source = ROOT / f"examples/delayed_jobs/with_{queue.lower()}.py"
    assert code
    assert code[1] in source.read_text()
    with shop(queue, tmp_path) as shop_, shop_.worker() as worker:
        asked = time.monotonic()
        shop_.plan(7, 2)
        line = worker.wait_for("remind: order 7")
    assert line.time - asked > 1.9


@pytest.mark.long
@each_queue
def test_a_job_that_waits_survives_a_killed_worker(queue: str, tmp_path: Path):
    """The worker is killed while a job waits for its time; another worker runs it. With Celery on Redis it begins after `visibility_timeout`, here six seconds, with RQ a minute later."""
    with shop(queue, tmp_path, LONGEST_JOB="6") as shop_:
        with shop_.worker() as first:
            shop_.plan(2, 1)
            asked = time.monotonic()
            shop_.plan(1, 5)
            first.wait_for("remind: order 2")
            first.kill()
        with shop_.worker(*RESCUED.get(queue, ())) as second:
            line = second.wait_for("remind: order 1", timeout=120)
    assert cells("in-ten-minutes")[queue][1].startswith("yes")
    assert not reminded(first, 1)
    assert line.time - asked > {"Celery": 6, "RQ": 45}.get(queue, 4.9)


@each_queue
def test_a_job_that_waits_can_be_cancelled_or_not(queue: str, tmp_path: Path):
    """A job that waits for its time is cancelled while its worker is up. Where the table says that this can be done, it is not run."""
    with shop(queue, tmp_path) as shop_, shop_.worker() as worker:
        job = shop_.plan(1, 5)
        answer = shop_.cancel(job)
        shop_.plan(2, 6)
        worker.wait_for("remind: order 2")
        run = bool(reminded(worker, 1))
        nothing = any("nothing to do for order 1" in x.text for x in worker.lines)
    said = cells("in-ten-minutes")[queue][2]
    assert (answer.status_code < 300) == (queue != "Taskiq")
    assert run == (queue == "Taskiq")
    assert nothing == (queue == "Dramatiq")
    assert said.startswith("no") == (queue in ("Taskiq", "Dramatiq"))


DONE = {"arq": "← order-1", "RQ": "Job OK"}
"""What a worker prints when it has finished a job whose id stays taken."""


@each_queue
def test_until_when_each_queue_refuses_a_duplicate(queue: str, tmp_path: Path):
    """The same order is sent again while its job waits, when it is done, and, where results are kept, here for five seconds, once they are gone."""
    said = cells("delayed-jobs")[queue]
    refused = [cell.startswith("refused") for cell in said[1:]]
    with shop(queue, tmp_path, KEEP_RESULT="5") as shop_, shop_.worker() as worker:
        shop_.plan(1, 2)
        assert (shop_.ask(1, 2).status_code == 409) == refused[0]
        worker.wait_for(DONE.get(queue, "remind: order 1"))
        if queue in DONE:
            assert shop_.ask(1, 600).status_code == 409
        assert (queue in (*DONE, "Dramatiq")) == refused[1]
        if queue != "Dramatiq":
            again = partial(shop_.ask, 1, 600)
            ask_until(again, lambda answer: answer.status_code == 202, 30)


@pytest.mark.queues
def test_celery_forgets_a_cancel_when_its_workers_have_ended(tmp_path: Path):
    """The worker is stopped, the next one starts, and the cancelled job runs."""
    with shop("Celery", tmp_path) as shop_:
        with shop_.worker() as first:
            shop_.cancel(shop_.plan(1, 4))
            first.wait_for("flagged as revoked")
            first.stop()
        with shop_.worker() as second:
            second.wait_for("remind: order 1")


@pytest.mark.queues
def test_celery_keeps_a_cancel_in_a_statedb(tmp_path: Path):
    """With `--statedb` a worker that is stopped keeps the note for the next one with that file: the cancelled job does not run."""
    with shop("Celery", tmp_path) as shop_:
        kept = ("--statedb", f"{tmp_path}/revoked")
        with shop_.worker(*kept) as first:
            shop_.cancel(shop_.plan(1, 4))
            first.wait_for("flagged as revoked")
            first.stop()
        with shop_.worker(*kept) as second:
            second.wait_for("Discarding revoked task")
            shop_.plan(2, 5)
            second.wait_for("remind: order 2")
            assert not reminded(second, 1)


@pytest.mark.queues
def test_a_celery_worker_that_is_stopped_gives_back_what_waits(tmp_path: Path):
    """After `SIGTERM` the next worker runs each of twenty jobs that waited, once."""
    orders = range(1, 21)
    with shop("Celery", tmp_path) as shop_:
        with shop_.worker() as first:
            for order in orders:
                shop_.plan(order, 5)
            first.wait_for("received", nth=20)
            first.stop()
        with shop_.worker() as second:
            second.wait_for(r"remind: order \d+", nth=20)
            shop_.plan(21, 1)
            second.wait_for("remind: order 21")
            assert {reminded(second, order) for order in orders} == {1}


@pytest.mark.queues
def test_one_celery_worker_takes_every_delayed_job(tmp_path: Path):
    """A worker that runs one job at a time takes all of a hundred that are due in ten minutes, and leaves none for another."""
    with (
        shop("Celery", tmp_path) as shop_,
        shop_.worker("--concurrency", "1") as worker,
    ):
        for order in range(1, 101):
            shop_.plan(order, 600)
        worker.wait_for("received", nth=100)


@pytest.mark.queues
def test_arq_runs_at_once_what_it_may_not_abort(tmp_path: Path):
    """Without `allow_abort_jobs` in the worker an aborted job, due in ten minutes, runs at once."""
    with shop("arq", tmp_path, ALLOW_ABORT="no") as shop_, shop_.worker() as worker:
        answer = shop_.cancel(shop_.plan(1, 600))
        worker.wait_for("remind: order 1")
    assert answer.json() != {"cancelled": True}


@pytest.mark.queues
def test_an_arq_id_is_free_again_when_its_result_is_forgotten(tmp_path: Path):
    """While a job waits, and then for `keep_result`, the same `_job_id` is refused: `enqueue_job` returns `None`, here a `409`. With `keep_result = 1` it is accepted again after that, and runs a second time."""
    with shop("arq", tmp_path, KEEP_RESULT="1") as shop_:
        url = f"{shop_.app.url}/orders/7/reminders?seconds=0"
        assert client.post(url).status_code == 202
        assert client.post(url).status_code == 409
        with shop_.worker() as worker:
            worker.wait_for("remind: order 7")
            ask_until(lambda: client.post(url).status_code, lambda s: s == 202, 30)
            worker.wait_for("remind: order 7", nth=2)


@pytest.mark.queues
def test_without_its_scheduler_rq_never_runs_it(tmp_path: Path):
    """A worker that was started without `--with-scheduler` leaves a job that is due where it is. A worker with `--with-scheduler` runs it."""
    with shop("RQ", tmp_path) as shop_:
        shop_.plan(1, 0)
        with shop_.worker("--burst", scheduler=False) as first:
            assert first.wait() == 0
        assert not reminded(first, 1)
        with shop_.worker() as second:
            second.wait_for("remind: order 1")


def test_in_taskiqs_delay_queue_a_long_delay_holds_up_a_short_one(tmp_path: Path):
    """A job that is to run in six seconds is sent first, then one for the next second: that one runs after six seconds too."""
    with shop("Taskiq", tmp_path) as shop_, shop_.worker() as worker:
        asked = time.monotonic()
        shop_.plan(1, 6)
        shop_.plan(2, 1)
        line = worker.wait_for("remind: order 2")
    assert line.time - asked > 5.9


def test_dbos_can_move_what_waits(tmp_path: Path):
    """A workflow that was to run in ten minutes is moved to the next second, and runs."""
    with shop("DBOS", tmp_path) as shop_, shop_.worker() as app:
        job = shop_.plan(1, 600)
        moved = client.put(f"{app.url}/reminders/{job}", params={"seconds": 1})
        assert moved.status_code == 202
        app.wait_for("remind: order 1")


@pytest.mark.queues
def test_a_reminder_that_RabbitMQ_has_not_taken_can_be_asked_for_again(
    tmp_path: Path,
):
    """RabbitMQ is killed: whoever asks for a reminder has a `503`, and no row. Asked for again when it is back, it is sent."""
    target, rabbitmq = TARGETS["Dramatiq"], running("rabbitmq")
    with serve(target, env=settings_of(target, tmp_path)) as app:
        url = f"{app.url}/orders/1/reminders?seconds=0"
        rabbitmq.kill()
        assert client.post(url, timeout=60).status_code == 503
        rabbitmq.start()
        ask_until(lambda: client.post(url).status_code, lambda s: s == 202, 60)
        assert client.post(url).status_code == 409


@pytest.mark.queues
def test_RabbitMQ_takes_back_a_delay_longer_than_its_consumer_timeout(tmp_path: Path):
    """With a `consumer_timeout` of one second, RabbitMQ takes a message back that a Dramatiq worker keeps for five seconds, and gives it out again, until it runs."""
    limits = {"consumer_timeout": 1000, "channel_tick_interval": 500}
    with ExitStack() as stack:
        started = services.started("rabbitmq", tmp_path / "rabbitmq", **limits)
        service = stack.enter_context(started)
        settings = needs_of(TARGETS["Dramatiq"]).settings(service, tmp_path)
        shop_ = Shop("Dramatiq", settings, stack)
        worker = stack.enter_context(shop_.worker())
        worker.expect("PRECONDITION_FAILED|connection error: Channel is closed")
        shop_.plan(1, 5)
        worker.wait_for("PRECONDITION_FAILED", nth=2)
        worker.wait_for("remind: order 1")
