"""The ways to run the job ``send_receipt``: what examples need, and how it is measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recording.model import title
from runner.needs import NEEDS, Needs

PATIENCE = 20.0
"""Seconds without any job starting or ending, after which what is not done is lost."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run the job: an app, and perhaps a worker and a server."""

    name: str
    settings: str = "of the page"
    """Which settings: those of the page, or "default"; empty: there are none."""
    module: str
    needs: Needs
    method: str = "POST"
    path: str = "/orders/{number}/tea"
    body: str = ""
    """The request that places an order: method, path and JSON."""
    patience: float = PATIENCE
    jobs: int = 100
    """How many; fewer where each takes long, as RQ forks for each."""
    loses: bool = False
    """Whether the page says that it may lose jobs."""
    prints: bool = False
    """Whether the worker's first process only prints what the others say, and ends with them.

    Killed with them, it would take with it what jobs have said that are done.
    """

    @property
    def title(self) -> str:
        """Its name, and its settings where they are not those of the page."""
        return title(self.name, self.settings)

    @property
    def kills(self) -> tuple[str, ...]:
        """What can be killed: without a worker it is one process."""
        if not self.needs.worker:
            return ("worker",)
        if self.settings == "default":  # what happens to the app is the same
            return ("worker", "broker", "all")
        return ("worker", "app", "broker", "all")


def _needs(folder: str, *options: str, **env: str) -> Needs:
    """What an example needs, with more options of its worker, and more settings."""
    needs = NEEDS[folder]
    worker = (*needs.worker, *options)
    return replace(needs, worker=worker, env={**needs.env, **env})


_IN_MEMORY = Needs(env={"DATABASE": "{folder}/jobs.db"})
_CELERY = _needs("celery", "--concurrency", "10")
_CELERY_ON_RABBITMQ = replace(
    _CELERY,
    service="rabbitmq",
    env={"BROKER": "amqp://guest:guest@127.0.0.1:{port}//", "RESULTS": "rpc://"},
)

_ALL = [
    Way(
        name="BackgroundTasks",
        settings="",
        module="examples.what_is_lost.background_tasks",
        needs=_IN_MEMORY,
        loses=True,
    ),
    Way(
        name="asyncio.Queue",
        settings="",
        module="examples.what_is_lost.in_process_queue",
        needs=_IN_MEMORY,
        loses=True,
    ),
    Way(
        name="ProcessPoolExecutor",
        settings="",
        module="examples.what_is_lost.process_pool",
        needs=_IN_MEMORY,
        loses=True,
    ),
    Way(
        name="Jobs table in SQLite",
        module="examples.durable_on_one_machine.jobs_table",
        needs=_needs("durable_on_one_machine", LEASE="2"),
    ),
    Way(
        name="DBOS on SQLite",
        module="examples.dbos.workflows",
        needs=NEEDS["dbos"],
    ),
    Way(
        name="Taskiq, RabbitMQ",
        module="examples.many_machines.app",
        needs=_needs("many_machines", "--workers", "1"),
        method="PUT",
        path="/orders/{number}",
        body='{"item":"tea"}',
    ),
    postgresql := Way(
        name="Procrastinate, PostgreSQL",
        module="examples.with_postgresql.receipts",
        needs=_needs("with_postgresql", DEAD_AFTER="3", RESCUE="* * * * * */2"),
    ),
    replace(
        postgresql,
        settings="default",
        needs=_needs("with_postgresql", RESCUE="0 0 1 1 *"),
        loses=True,
    ),
    on_redis := Way(
        name="Celery, Redis",
        module="examples.celery.receipts",
        needs=replace(_CELERY, env={**_CELERY.env, "LONGEST_JOB": "5"}),
        loses=True,  # one at most: see the page
    ),
    replace(
        on_redis, settings="default", module="bench.celery_defaults", needs=_CELERY
    ),
    on_rabbitmq := Way(
        name="Celery, RabbitMQ",
        module="examples.celery.receipts",
        needs=_CELERY_ON_RABBITMQ,
    ),
    replace(
        on_rabbitmq,
        settings="default",
        module="bench.celery_defaults",
        loses=True,
    ),
    arq := Way(
        name="arq, Redis",
        module="examples.arq.receipts",
        needs=_needs("arq", LONGEST_JOB="5"),
    ),
    replace(arq, settings="default", needs=NEEDS["arq"], loses=True),
    dramatiq := Way(
        name="Dramatiq, RabbitMQ",
        module="examples.dramatiq.receipts",
        needs=_needs("dramatiq", "--processes", "1", "--threads", "10"),
        prints=True,
    ),
    replace(
        dramatiq,
        settings="default",
        needs=replace(dramatiq.needs, env={**dramatiq.needs.env, "CONFIRM": "no"}),
        loses=True,
    ),
    rq := Way(
        name="RQ, Redis",
        module="examples.rq.receipts",
        needs=NEEDS["rq"],
        patience=100,
        jobs=30,
    ),
    replace(
        rq,
        settings="default",
        needs=replace(
            NEEDS["rq"],
            worker=("rq.cli", "worker", "--path", "."),
            env={**NEEDS["rq"].env, "RETRIES": "0"},
        ),
        patience=PATIENCE,
        loses=True,
    ),
]

WAYS = {way.title: way for way in _ALL}
"""All ways by title, such as "RQ, Redis" and "RQ, Redis, default"."""
