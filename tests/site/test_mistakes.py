"""What is wrong in a page is told in a line, with what to do."""

import re
import subprocess
import sys

import pytest

from workshop.copying import copied

pytestmark = pytest.mark.slow

BROKEN = {
    "a file": (
        "multiple-tasks.md",
        "```example\nmultiple_tasks/in_order.py",
        "```example\nmultiple_tasks/in_ordr.py",
        "there is no examples/multiple_tasks/in_ordr.py: "
        "did you mean multiple_tasks/in_order.py?",
    ),
    "a part of a file": (
        "testing.md",
        "test_main.py: test_a_task_that_fails",
        "test_main.py: test_a_task_which_fails",
        "there is no test_a_task_which_fails in this file: "
        "did you mean test_a_task_that_fails?",
    ),
    "no change": (
        "sessions-and-dependencies.md",
        "row_not_found.py → sessions_and_dependencies/row_found.py",
        "row_not_found.py → sessions_and_dependencies/when_it_ends.py",
        "sessions_and_dependencies/when_it_ends.py is no change of "
        "sessions_and_dependencies/row_not_found.py, 62% differs: ```example",
    ),
    "a proof": (
        "when-it-runs.md",
        "tests/test_when_it_runs.py::test_a",
        "tests/test_when_it_runs.py::test_an",
        "there is no test_an",
    ),
    "a module of proofs": (
        "restarts.md",
        "tests/test_restarts.py::",
        "tests/test_restart.py::",
        "there is no tests/test_restart.py: did you mean tests/test_restarts.py?",
    ),
    "a timeline": (
        "thread-pool.md",
        "```timeline\nthread_pool/two_pools",
        "```timeline\nthread_pool/two_pool",
        "there is no scene thread_pool/two_pool: did you mean thread_pool/two_pools?",
    ),
    "a fence": (
        "why-it-never-ran.md",
        "```timeline",
        "```timelines",
        "there is no fence timelines: did you mean timeline?",
    ),
    "a heading": (
        "jobs-table-in-production.md",
        "durable-on-one-machine.md#several-workers",
        "durable-on-one-machine.md#several-worker",
        "no heading or proof #several-worker in docs/durable-on-one-machine.md: "
        "did you mean several-workers?",
    ),
    "a page": (
        "arq.md",
        "](choosing.md)",
        "](chosing.md)",
        "no page chosing.md to link to: did you mean choosing.md?",
    ),
    "the nav": (
        "../mkdocs.yml",
        " rq.md",
        " rqs.md",
        "there is no docs/rqs.md: did you mean rq.md?",
    ),
    "a description": (
        "rq.md",
        "description:",
        "summary:",
        "no description: say in the front matter, description: …, what is answered",
    ),
    "the searches": (
        "heavy-work.md",
        "searches:",
        "seeks:",
        "no searches: list in the front matter, searches: …, what a reader types",
    ),
    "the overview": (
        "index.md",
        "](celery.md)",
        "](arq.md)",
        "docs/celery.md:1: the front page does not name it: "
        "link to celery.md in docs/index.md",
    ),
    "code of nobody": (
        "conclusion.md",
        "```example",
        "```python",
        "code that no test runs: show a file: ```example",
    ),
    "an open block": (
        "what-is-lost.md",
        "```losses",
        "",
        "a block without a name, or without an end: end it with ```",
    ),
}
"""What is done to a page, and what is said of it: file, text, other text, message."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a build says of a copy of the project in which all of that is broken."""
    folder = copied(tmp_path_factory.mktemp("broken") / "copy")
    for name, old, new, _ in BROKEN.values():
        file = folder / "docs" / name
        assert old in file.read_text(), (name, old)
        file.write_text(file.read_text().replace(old, new, 1))
    claims = folder / "tests/test_schedules.py"
    claims.write_text(claims.read_text() + 'def test_new():\n    """It is new."""\n')
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder / "site"]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert built.returncode == 1
    assert "Traceback" not in built.stderr
    return built.stderr.splitlines()


@pytest.mark.parametrize("what", BROKEN)
def test_a_mistake_in_a_page_is_a_line_that_says_what_to_do(what: str, told: list[str]):
    name, _, _, message = BROKEN[what]
    file = f"docs/{name}".replace("docs/../", "")
    if not message.startswith("docs/"):
        message = f"{re.escape(file)}:\\d+: {re.escape(message)}"
    else:
        message = re.escape(message)
    assert any(re.search(message, line) for line in told), "\n".join(told)


def test_a_claim_that_no_page_shows_comes_with_the_fence_to_paste(told: list[str]):
    assert "no page shows the claim test_new: paste" in "\n".join(told)
    assert "tests/test_schedules.py::test_new" in told


def test_only_what_is_wrong_is_told(told: list[str]):
    """Of the mistakes above, and of those that follow from them."""
    errors = [line for line in told if line.startswith("ERROR")]
    assert len(BROKEN) < len(errors) < 2 * len(BROKEN), "\n".join(errors)
