"""The statements of docs/choosing.md."""

from importlib.resources import files

import pytest

from bench.__main__ import NAME
from bench.trial import kill
from bench.ways import WAYS, Way
from recording.model import Bench, load
from runner.needs import NEEDS
from runner.process import ROOT
from tests.services import running, skip_without

RECORDED = load(Bench, NAME).outcomes
ELSEWHERE = ("Jobs table", "Taskiq", "RQ", "arq")
"""What the tests of its own page kill, more often or for longer."""


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize(
    ("way", "what"),
    [
        pytest.param(way, what, id=f"{title}, {what}")
        for title, way in WAYS.items()
        if not way.loses and not title.startswith(ELSEWHERE)
        for what in way.kills
    ],
)
def test_a_kill_loses_nothing_where_the_table_says_so(way: Way, what: str):
    """The bench in small: 20 jobs, `SIGKILL` to the worker, the app, the broker, or all at once, and each accepted job is done."""
    skip_without(way.needs)
    service = running("rabbitmq") if way.needs.service == "rabbitmq" else None
    outcome = kill(way, what, jobs=20, patience=30, service=service)
    assert outcome.accepted > 0
    assert outcome.lost == 0


def test_the_table_has_all_ways_and_none_lost_a_job_that_should_not():
    """The recorded run has killed everything that can be killed of each way. With the settings of the pages nothing was lost, or at most one job at each kill by Celery on Redis; with the defaults, and in memory, something was."""
    for outcome, way in zip(RECORDED, WAYS.values(), strict=True):
        assert (outcome.name, outcome.settings) == (way.name, way.settings)
        assert tuple(outcome.kills) == way.kills
        lost = sum(killed.lost for killed in outcome.kills.values())
        if not way.loses:
            assert lost == 0, way.title
        if way.settings != "of the page":
            assert lost > 0, way.title
        elif way.loses:
            assert max(killed.lost for killed in outcome.kills.values()) <= 1


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
    if (needs := NEEDS.get(package)) and needs.packages:
        skip_without(needs)
        installed = ROOT / ".cache" / package / package
    else:
        installed = files(package)
    assert (installed / "py.typed").is_file() == typed
