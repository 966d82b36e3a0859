"""What examples need to run: a server, other packages, a worker beside them. One table."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from pathlib import Path

from runner.process import FORKED, PYTHON, ROOT, Server, complete, start
from runner.services import Service

APART = Path(os.environ.get("APART", ROOT / ".cache"))
"""The folder of packages that do not go with the others."""
_REDIS = "redis://127.0.0.1:{port}"
RABBITMQ = "amqp://guest:guest@127.0.0.1:{port}/%2F"
POSTGRESQL = "postgresql://postgres@127.0.0.1:{port}/{database}"
"""Addresses for clients."""
_OF_THE_QUEUE = rf"{FORKED}|signature of athrow\(\) is deprecated"
"""What Python 3.12 and newer say of a worker that forks with threads, or of Taskiq's code."""
_PROCRASTINATE = ("procrastinate", "--app", "{module}.queue")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an example needs beside the packages that all have."""

    service: str = ""
    """The server: a function of `runner.services`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Its environment; ``{port}`` is the server's, ``{database}`` one of PostgreSQL's,
    ``{folder}`` an empty folder for files."""
    packages: str = ""
    """The folder in `examples` whose ``requirements.txt`` does not go with the others;
    `make` installs it into a folder of that name under ``.cache``."""
    sqlite: tuple[int, int, int] = (0, 0, 0)
    """The oldest SQLite that does, with Python 3.12 or newer."""
    worker: tuple[str, ...] = ()
    """The command of its worker after ``python -m``; ``{module}`` is the example's."""
    ready: str = ""
    """What a process beside the app prints when it is ready: a regular expression."""
    prepare: tuple[str, ...] = ()
    """A command after ``python -m`` to run once, before the app."""

    def missing(self) -> str:
        """What is to be installed first, in words; empty: nothing."""
        if self.packages and not (self._installed / self.packages).exists():
            return f"needs {self.packages}: make .cache/{self.packages}"
        if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < self.sqlite:
            return f"needs SQLite {'.'.join(map(str, self.sqlite))}, or Python 3.11"
        return ""

    def settings(
        self, service: Service | None, folder: Path, database: str = "postgres"
    ) -> dict[str, str]:
        """The environment of the example and of what runs beside it."""
        values = {"folder": folder, "database": database}
        values["port"] = service.port if service else ""
        env = {name: value.format(**values) for name, value in self.env.items()}
        return env | ({"PYTHONPATH": str(self._installed)} if self.packages else {})

    def versions(self) -> dict[str, str]:
        """The version of the queue that its worker is of, by its name."""
        path = [str(self._installed)] if self.packages else sys.path
        names = [part.partition(".")[0] for part in self.worker[:1]]
        return {
            name: found.version
            for name in names
            for found in distributions(name=name, path=path)
        }

    @property
    def _installed(self) -> Path:
        return APART / self.packages


_DURABLE = Needs(env={"DATABASE": "{folder}/jobs.db"})

_DBOS = replace(_DURABLE, sqlite=(3, 42, 0))
_IN_POSTGRESQL = Needs(service="postgresql", env={"DATABASE": POSTGRESQL})
_ON_POSTGRESQL = replace(
    _IN_POSTGRESQL,
    worker=(*_PROCRASTINATE, "worker"),
    ready="Starting worker",
    prepare=(*_PROCRASTINATE, "schema", "--apply"),
)
_TASKIQ = Needs(
    service="rabbitmq",
    env={"RABBITMQ": RABBITMQ},
    worker=("taskiq", "worker", "{module}:broker"),
    ready="Listening started|Startup completed",
)
_CELERY = Needs(
    service="redis",
    env={"BROKER": _REDIS},
    packages="celery",
    worker=("celery", "--app", "{module}.queue", "worker", "--loglevel", "INFO"),
    ready=r"\w@.* ready",
)
_CELERY_ON_A_FILE = replace(
    _CELERY, env={**_CELERY.env, "DATABASE": "{folder}/shop.db"}
)
_ARQ = Needs(
    service="redis",
    env={"REDIS": _REDIS},
    packages="arq",
    worker=("arq", "{module}.WorkerSettings"),
    ready="Starting worker",
)
_DRAMATIQ = Needs(
    service="rabbitmq",
    env={"RABBITMQ": RABBITMQ},
    packages="dramatiq",
    worker=("dramatiq", "{module}"),
    ready="ready for action",
)
_RQ = Needs(
    service="redis",
    env={"REDIS": _REDIS, "RQ_REDIS_URL": _REDIS},
    packages="rq",
    worker=("rq.cli", "worker", "--path", "."),
    ready="Listening on",
)

NEEDS = {
    "durable_on_one_machine": _DURABLE,
    "dbos": _DBOS,
    "serverless": _DURABLE,
    "many_machines": replace(
        _TASKIQ,
        env={
            **_TASKIQ.env,
            "DATABASE": "sqlite+aiosqlite:///{folder}/shop.db?timeout=60",
        },
        worker=("taskiq", "worker", "examples.many_machines.tasks:broker"),
    ),
    "what_is_lost/commit_or_enqueue_first": Needs(
        service="rabbitmq", env={"RABBITMQ": RABBITMQ, "DATABASE": "{folder}/orders.db"}
    ),
    "loops_in_the_app/consumer": Needs(service="rabbitmq", env={"RABBITMQ": RABBITMQ}),
    "loops_in_the_app/only_one": Needs(env={"LOCK_FILE": "{folder}/refresh.lock"}),
    "database_errors/pool_limits": Needs(
        service="postgresql", env={"DATABASE": POSTGRESQL}
    ),
    "with_postgresql": _ON_POSTGRESQL,
    "long_lived_streams/news_from_a_worker": Needs(
        service="redis", env={"REDIS": _REDIS}, packages="rq"
    ),
    "recipes/receive_webhooks": Needs(
        env={"WEBHOOK_SECRET": "whsec_dGVh", "DATABASE": "{folder}/events.db"}
    ),
    "recipes/csv_from_excel": Needs(env={"DATABASE": "{folder}/products.db"}),
    "recipes/download_link": Needs(
        env={"DATABASE": "{folder}/links.db", "REPORTS": "{folder}"}
    ),
    "recipes/forgot_password": Needs(env={"DATABASE": "{folder}/accounts.db"}),
    "recipes/webhook_outbox": Needs(env={"DATABASE": "{folder}/outbox.db"}),
    "celery": _CELERY,
    "celery_first_hour": _CELERY_ON_A_FILE,
    "celery_limits_and_stops": _CELERY_ON_A_FILE,
    "arq": _ARQ,
    "dramatiq": _DRAMATIQ,
    "rq": replace(
        _RQ,
        worker=(
            *_RQ.worker,
            *("--maintenance-interval", "5", "--job-monitoring-interval", "5"),
            *("--worker-ttl", "20"),
        ),
    ),
    "in_ten_minutes/jobs_table": _DURABLE,
    "delayed_jobs/with_celery": _CELERY,
    "delayed_jobs/with_arq": _ARQ,
    "delayed_jobs/with_rq": _RQ,
    "delayed_jobs/with_dramatiq": replace(
        _DRAMATIQ, env={**_DRAMATIQ.env, **_DURABLE.env}
    ),
    "delayed_jobs/with_taskiq": _TASKIQ,
    "taskiq_in_production": _TASKIQ,
    "delayed_jobs/with_procrastinate": _ON_POSTGRESQL,
    "delayed_jobs/with_dbos": _DBOS,
    "not_twice_not_too_often": _DURABLE,
    "not_twice_not_too_often/advisory_lock": _IN_POSTGRESQL,
    "jobs_table_in_production": _IN_POSTGRESQL,
    "listen_and_notify": _IN_POSTGRESQL,
    "not_twice_not_too_often/with_celery": _CELERY,
    "not_twice_not_too_often/one_per_user_in_celery": _CELERY,
    "schedules/leader": Needs(service="postgresql", env={"DATABASE": POSTGRESQL}),
    "schedules/job_store": _DURABLE,
    "schedules/with_celery": _CELERY,
}
"""By example, named ``page/example``, or by the folder of all examples of a page."""


def needs_of(target: str) -> Needs:
    """What a target such as ``examples.rq.receipts:app``, or its module, needs."""
    _, folder, example = target.partition(":")[0].split(".")
    return NEEDS.get(f"{folder}/{example}") or NEEDS.get(folder) or Needs()


def prepare(needs: Needs, module: str, env: Mapping[str, str]) -> None:
    """Do what is to be done once. Raises `ServerError` if it fails."""
    if needs.prepare:
        complete(_command(needs.prepare, module), env=env)


@contextmanager
def start_worker(
    needs: Needs, module: str, env: Mapping[str, str], *options: str
) -> Iterator[Server]:
    """Run the worker until the end of the block, which begins when it is ready."""
    command = _command(needs.worker, module)
    with start((*command, *options), env=env, ready=needs.ready) as worker:
        worker.expect(_OF_THE_QUEUE)
        yield worker


def _command(parts: tuple[str, ...], module: str) -> tuple[str, ...]:
    return (*PYTHON, *(part.format(module=module) for part in parts))
