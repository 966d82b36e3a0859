"""What GitHub runs: well formed, with least permissions, and nothing that `make` does not do here."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from runner.process import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
each = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.stem))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
        [
            "zizmor",
            "--offline",
            "--quiet",
            "--persona=pedantic",
            "--min-severity=medium",
        ],
    ],
    ids=lambda command: str(command[0]),
)
def test_the_checkers_find_nothing(command: list[str]):
    """The first knows what a workflow may hold, the second what makes one dangerous."""
    program, *options = command
    installed = Path(sys.executable).parent / program
    files = map(str, WORKFLOWS)
    checked = subprocess.run(
        [installed, *options, *files], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@each
def test_an_action_is_named_by_the_commit_and_says_its_version(file: Path):
    for used in re.findall(r"uses: (.*)", file.read_text()):
        if not used.startswith("./"):
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used)


@each
def test_a_step_runs_one_target_of_make_or_all_that_ci_runs(file: Path):
    workflow = yaml.safe_load(file.read_text())
    targets = re.search(
        r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert targets
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for step in job.get("steps", []):
            if "run" not in step or step["run"] == ".ci/run":
                continue
            make, *typed = step["run"].split()
            assert make == "make"
            named = matrix["target"] if typed == ['"$TARGET"'] else typed
            assert {*named} <= {*targets[1].split()}


@each
def test_a_workflow_may_do_nothing_but_what_a_job_asks_for(file: Path):
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        allowed = {"pages", "id-token"} if name == "deploy" else {"contents"}
        assert job["permissions"].keys() == allowed
        assert job["permissions"].get("contents", "read") == "read"


def test_every_python_that_the_project_promises_is_tested():
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    pythons = matrix["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_what_a_machine_lacks_is_named_where_it_cannot_be_installed():
    """Where there is no `apt-get`."""
    ended = subprocess.run(
        ["/bin/bash", ROOT / ".ci/machine"],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "install yourself: chromium firefox-esr webkit2gtk-driver xvfb rabbitmq-server redis-server nginx-light docker-compose\n"
    )
