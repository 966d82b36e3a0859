"""The suite keeps what it was green with, and only then."""

import ast
import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from runner.process import ROOT
from tests.last_run import here
from theme.versions import LastRun
from workshop.pages import DOCS, EXAMPLES, PAGES
from workshop.publishing import imported_by, packages_of_examples, run_with

ALL = 'testpaths = ["README.md", "CONTRIBUTING.md", "docs", "tests"]'
GREEN = "def test_green():\n    pass\n"


def suite_of(copy: Path, *options: str, tests: str = GREEN) -> Path:
    """Run the suite of a copy, which is that one module; return where it keeps its run."""
    settings = copy / "pyproject.toml"
    settings.write_text(
        settings.read_text().replace(ALL, 'testpaths = ["tests/all.py"]')
    )
    (copy / "tests/all.py").write_text(tests)
    (copy / "last_run.json").unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in ("LAST_RUN", "CI")}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n1", *options], cwd=copy, env=env
    )
    return copy / "last_run.json"


@pytest.mark.slow
def test_a_whole_green_run_is_kept(copy: Path):
    kept = suite_of(copy)
    assert LastRun(**json.loads(kept.read_text())) == here()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "tests"),
    [
        ([], f"{GREEN}def test_red():\n    assert False\n"),
        ([], f"import pytest\n{GREEN}def test_skipped():\n    pytest.skip('no')\n"),
        (["-n0", "-k", "green"], GREEN),
        (["-n0", "tests/all.py"], GREEN),
        (["-n0", "--last-failed"], GREEN),
        (["-n0", "--collect-only"], GREEN),
    ],
    ids=["red", "skipped", "by name", "by file", "what failed last", "only collected"],
)
def test_another_run_is_not(copy: Path, options: list[str], tests: str):
    assert not suite_of(copy, *options, tests=tests).exists()


def test_what_is_here_is_named():
    run = here()
    assert run.packages["fastapi"]
    assert run.apart["rq"]["rq"]
    assert {"Python", "PostgreSQL"} <= run.programs.keys()


def test_the_kept_run_if_there_is_one_has_what_is_pinned():
    """Of the packages; programs are those of the machine."""
    file = ROOT / "last_run.json"
    if not file.exists():
        return
    kept = LastRun(**json.loads(file.read_text()))
    assert kept.packages.keys() >= {"fastapi", "starlette", "uvicorn"}


def test_a_page_names_each_version_that_one_of_its_queues_wants():
    """arq wants an older client of Redis than the others of that page."""
    redis = {folder["redis"] for folder in here().apart.values() if "redis" in folder}
    assert len(redis) == 2
    assert f", redis {' and '.join(sorted(redis))}" in run_with("delayed-jobs")


DIFFERS = re.compile(
    r"(?:(?:since|until|before|up to|newer than|older than|from|with) "
    r"(?:FastAPI|Starlette|Python|uvicorn)|\| (?:up to|since)) (\d+\.\d+)"
    r"|(\d\.\d+) to \d\.\d+",
    re.IGNORECASE,
)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "run-with"])
def test_what_differs_between_versions_is_in_the_table_of_all_pages(name: str):
    """Every version that a page names as a boundary, with a link to that page."""
    prose = re.sub(r"```.*?```", "", (DOCS / f"{name}.md").read_text(), flags=re.DOTALL)
    table = (DOCS / "run-with.md").read_text()
    for match in DIFFERS.finditer(prose):
        version = match[1] or match[2]
        rows = [line for line in table.splitlines() if f"]({name}.md" in line]
        assert any(version in row for row in rows), f"docs/{name}.md: {match[0]}"


def test_what_an_example_imports_is_named_as_pip_names_it():
    there = packages_distributions()
    asked = packages_of_examples()
    for file in EXAMPLES.rglob("*.py"):
        named = imported_by([file])
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                packages = there.get(node.module.partition(".")[0], [])
                assert not packages or named & {*map(canonicalize_name, packages)}
    everything = imported_by(EXAMPLES.rglob("*.py"))
    assert {"pillow", "opentelemetry-sdk", "sqlalchemy", "taskiq"} <= everything & asked
