"""Servers that a test process starts once, when the first test asks for one."""

import asyncio
import atexit
import socket
import subprocess
import tempfile
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import aio_pika
import psycopg
import pytest

from runner import services
from runner.needs import POSTGRESQL, RABBITMQ, Needs, needs_of

T = TypeVar("T")
_numbers = count(1)


@cache
def _start(name: str) -> services.Service | services.Missing:
    folder = tempfile.TemporaryDirectory()
    try:
        service: services.Service = getattr(services, name)(Path(folder.name))
    except services.Missing as missing:
        return missing
    atexit.register(folder.cleanup)
    atexit.register(service.end)
    return service


def running(name: str) -> services.Service:
    """The server of that name in `runner.services`; skips the test where there is none.

    It runs, whatever the test before has done to it.
    """
    service = _start(name)
    if isinstance(service, services.Missing):
        pytest.skip(str(service))
    if not service.runs:
        service.kill()
        service.start()
    return service


def skip_without(needs: Needs) -> None:
    """Skip the test where something of that is not installed."""
    if missing := needs.missing():
        pytest.skip(missing)


def settings_of(target: str, folder: Path) -> dict[str, str]:
    """What an example finds in its environment: an empty server, and `folder` for its files.

    Skips the test where something that it needs is missing.
    """
    needs = needs_of(target)
    skip_without(needs)
    if not needs.service:
        return needs.settings(None, folder)
    service = running(needs.service)
    match needs.service:
        case "postgresql":
            return needs.settings(service, folder, new_database())
        case "redis":
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                connection.sendall(b"FLUSHALL\r\n")
                assert connection.recv(100) == b"+OK\r\n"
        case "rabbitmq":
            in_a_thread(_delete_queues(rabbitmq_url(service))).result()
    return needs.settings(service, folder)


def redis_cli(*words: str) -> str:
    """What `redis-cli` prints, asked of the running Redis."""
    command = ["redis-cli", "-p", str(running("redis").port), *words]
    return subprocess.check_output(command, text=True)


def new_database() -> str:
    """The name of an empty database of a real PostgreSQL."""
    name = f"test{next(_numbers)}"
    with psycopg.connect(postgresql_url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return name


def postgresql_url(database: str) -> str:
    """The address of a database of the real PostgreSQL for clients."""
    return POSTGRESQL.format(port=running("postgresql").port, database=database)


async def _delete_queues(url: str) -> None:
    """Those of the examples whose tests use the same orders again."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in ("receipts", "reminders", "parcels"):  # of Taskiq
            for kind in ("", ".delay", ".dead"):
                await channel.queue_delete(queue + kind)
        await channel.queue_delete("paid")  # of the consumer in the app
        for kind in ("", ".DQ", ".XQ"):  # of Dramatiq
            await channel.queue_delete("default" + kind)


def in_a_thread(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run it where no event loop runs: this thread may have one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine)


def rabbitmq_url(service: services.Service, port: int = 0) -> str:
    """Its address for clients, or that of a proxy at `port`."""
    return RABBITMQ.format(port=port or service.port)
