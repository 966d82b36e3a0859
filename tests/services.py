"""Servers that a test process starts once, when the first test asks for one."""

import asyncio
import atexit
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import count
from pathlib import Path

import aio_pika
import psycopg
import pytest

from runner import services
from runner.server import ROOT

_numbers = count(1)


@cache
def _start(name: str) -> services.Service | services.Missing:
    folder = tempfile.TemporaryDirectory()
    try:
        service: services.Service = getattr(services, name)(Path(folder.name))
    except services.Missing as missing:
        return missing
    service.start()
    atexit.register(folder.cleanup)
    atexit.register(service.kill)
    return service


def running(name: str) -> services.Service:
    """The running server of that name in `runner.services`; skips the test where there is none."""
    service = _start(name)
    if isinstance(service, services.Missing):
        pytest.skip(str(service))
    return service


def settings_of(example: Path) -> dict[str, str]:
    """What an example that needs a server or other packages finds in its environment.

    Skips the test where these are missing.
    """
    match example.parent.name:
        case "durable_on_one_machine" if example.stem == "workflows":
            if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < (3, 42):
                pytest.skip("needs SQLite 3.42, or Python 3.11")
        case "with_postgresql":
            return {"DATABASE": new_database()}
        case "arq" | "celery" | "dramatiq" | "rq" as engine:
            folder = ROOT / ".cache" / engine
            if not (folder / engine).exists():
                pytest.skip(f"needs {engine}: make .cache/{engine}")
            found = {"PYTHONPATH": str(folder)}
            if engine == "dramatiq":
                return found | {"RABBITMQ": rabbitmq_url(running("rabbitmq"))}
            url = f"redis://127.0.0.1:{empty_redis().port}"
            return found | {"BROKER": url, "REDIS": url, "RQ_REDIS_URL": url}
    return {}


def example_of(target: str) -> Path:
    """The file of a target such as ``examples.rq.receipts:app``."""
    return ROOT / f"{target.partition(':')[0].replace('.', '/')}.py"


def new_database() -> str:
    """The address of an empty database of a real PostgreSQL."""
    server = f"postgresql://postgres@127.0.0.1:{running('postgresql').port}"
    name = f"test{next(_numbers)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return f"{server}/{name}"


def empty_redis() -> services.Service:
    """A real Redis, without what the tests before have left there."""
    service = running("redis")
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(100) == b"+OK\r\n"
    return service


def empty_rabbitmq() -> services.Service:
    """A real RabbitMQ without the queues of ``examples/many_machines``."""
    service = running("rabbitmq")

    async def forget() -> None:
        async with await aio_pika.connect(rabbitmq_url(service)) as connection:
            channel = await connection.channel()
            for queue in ("receipts", "receipts.delay", "receipts.dead"):
                await channel.queue_delete(queue)

    in_a_thread(forget()).result()
    return service


def in_a_thread(coroutine: Coroutine[None, None, None]) -> Future[None]:
    """Run it where no event loop runs: this thread may have one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine)


def rabbitmq_url(service: services.Service, port: int = 0) -> str:
    """Its address for clients, or that of a proxy at `port`."""
    return f"amqp://guest:guest@127.0.0.1:{port or service.port}/%2F"
