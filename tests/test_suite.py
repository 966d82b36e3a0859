"""How tests are named, spread over processes, and skipped."""

import ast
import os
import subprocess
import sys

import pytest

from runner.process import ROOT
from tests.spreading import scope_of
from tests.weighing import weights
from workshop.pages import EXAMPLES, PAGES, claims_of, page_of, page_of_file


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("tests/test_rq.py::test_one", "tests/test_rq.py::test_two", False),
        (
            "tests/site/test_links.py::test_one",
            "tests/site/test_code.py::test_two",
            True,
        ),
        ("docs/rq.md::line:1", "docs/rq.md::line:2", True),
        ("docs/rq.md::line:1", "tests/test_rq.py::test_one", False),
        ("docs/rq.md::line:1", "docs/arq.md::line:1", False),
        ("README.md::line:1", "docs/arq.md::line:1", False),
        (
            "docs/many-machines.md::line:1",
            "tests/rabbitmq/test_dramatiq.py::test",
            True,
        ),
    ],
)
def test_what_shares_a_folder_runs_in_one_process(one: str, other: str, together: bool):
    """Whatever it is called."""
    assert (scope_of(one) == scope_of(other)) == together


def test_each_example_belongs_to_a_page_with_claims():
    for file in EXAMPLES.rglob("*.py"):
        page = page_of_file(file)
        assert page in PAGES
        assert claims_of(page), page


def test_a_page_may_be_named_as_an_example_or_as_its_folder():
    assert page_of("recipes/csv_import") == "recipes/csv-import"
    assert page_of("multiple_tasks/in_order") == "multiple-tasks"


@pytest.mark.slow
def test_the_last_lines_say_why_tests_were_skipped_and_what_to_install():
    """Without CI; there a skip is a failure."""
    queues = [
        "-n0",
        "-q",
        "-mqueues",
        "tests/test_rq.py",
        "-kwithout_redis or may_be_retried",
    ]
    for ci in ({}, {"CI": "true"}):
        env = {k: v for k, v in os.environ.items() if k != "CI"} | ci
        env["PATH"] = "/nowhere"
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *queues],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == len(ci)
        missing = "needs Redis (Debian: apt install redis-server)"
        assert (f"skipped 2: {missing}" in ended.stdout.splitlines()[-3:]) == (not ci)
        assert missing in ended.stdout


def test_searches_that_contradict_each_other_are_named():
    wanted = [
        ("worker killed", "arq", "rq", 0.5),
        ("job lost", "rq", "celery", 0.5),
        ("SIGTERM", "celery", "arq", -0.5),
        ("retry", "dramatiq", "rq", -3.0),
    ]
    with pytest.raises(SystemExit) as told:
        weights(wanted)
    assert sorted(str(told.value).splitlines()[1:]) == [
        "docs/arq.md: 'worker killed', found above rq",
        "docs/celery.md: 'SIGTERM', found above arq",
        "docs/rq.md: 'job lost', found above celery",
    ]
    [_, *possible] = wanted
    assert weights(possible)["rq"] > weights(possible)["celery"]


def test_no_test_runs_a_loop_in_its_own_thread():
    """One of Playwright may run there: `tests.services.in_a_thread` has another."""
    for file in ROOT.glob("tests/**/test_*.py"):
        calls = (
            n for n in ast.walk(ast.parse(file.read_text())) if type(n) is ast.Call
        )
        assert "asyncio.run" not in {ast.unparse(call.func) for call in calls}, file
