"""The statements of docs/choosing.md."""

import json
from importlib.resources import files

import pytest

from runner.bench import RECORDING, WAYS, Way, kill, kills_of
from runner.server import ROOT
from tests.services import example_of, running, settings_of

RECORDED = json.loads(RECORDING.read_text())["rows"]
KEEP = [way for way in WAYS if not way.loses]
ELSEWHERE = ("Jobs table", "Taskiq", "RQ", "arq")
"""What the tests of its own page kill, more often or for longer."""


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize(
    ("way", "what"),
    [
        pytest.param(way, what, id=f"{way.name}, {what}")
        for way in KEEP
        if not way.name.startswith(ELSEWHERE)
        for what in kills_of(way)
    ],
)
def test_a_kill_loses_nothing_where_the_table_says_so(way: Way, what: str):
    """The bench in small: 20 jobs, `SIGKILL` to the worker, the app, the broker, or all at once, and each accepted job is done."""
    settings_of(example_of(way.target))  # skips where something is missing
    service = running("rabbitmq") if way.service == "rabbitmq" else None
    outcome = kill(way, what, jobs=20, patience=30, service=service)
    assert outcome["accepted"] > 0
    assert outcome["lost"] == 0


def test_the_table_has_all_ways_and_none_lost_a_job_that_should_not():
    """The recorded run has killed everything that can be killed of each way. With the settings of the pages nothing was lost, or at most one job at each kill by Celery on Redis; with the defaults, and in memory, something was."""
    assert [(r["name"], r["settings"]) for r in RECORDED] == [
        (way.name, way.settings) for way in WAYS
    ]
    for row, way in zip(RECORDED, WAYS, strict=True):
        assert list(row["kills"]) == kills_of(way)
        lost = sum(kill["lost"] for kill in row["kills"].values())
        if not way.loses:
            assert lost == 0, row["name"]
        if way.settings != "of the page":
            assert lost > 0, row["name"]
        elif way.loses:
            assert max(kill["lost"] for kill in row["kills"].values()) <= 1


@pytest.mark.parametrize(
    ("package", "typed"),
    [
        ("dbos", True),
        ("taskiq", True),
        ("taskiq_aio_pika", True),
        ("procrastinate", True),
        ("celery", False),
        ("arq", True),
        ("dramatiq", True),
        ("rq", True),
    ],
)
def test_typed_is_what_the_package_says(package: str, typed: bool):
    """A package that is typed brings a file `py.typed`."""
    if (folder := ROOT / ".cache" / package).exists():
        marker = folder / package / "py.typed"
    else:
        marker = files(package) / "py.typed"
    assert marker.is_file() == typed
