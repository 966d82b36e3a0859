"""Servers that a test process starts once, when the first test asks for one."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import pytest

from runner import services


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


def rabbitmq_url(service: services.Service, port: int = 0) -> str:
    """Its address for clients, or that of a proxy at `port`."""
    return f"amqp://guest:guest@127.0.0.1:{port or service.port}/%2F"
