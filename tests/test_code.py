"""The code is typed and formatted, and names nothing of one machine or one registry."""

import re
import subprocess
import sys

import pytest

from runner.process import ROOT


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy", "bench", "button", "examples", "recording", "runner", "theme"],
    ],
    ids=" ".join,
)
def test_the_linters_find_nothing(command: list[str]):
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_committed_file_names_a_registry_or_a_path_of_a_machine():
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    foreign = re.compile(r"pypi\.(?:org|python)|registry\.npmjs|deb\.debian|/home/\w+/")
    for name in listed.splitlines():
        assert (
            not foreign.search((ROOT / name).read_text())
            or name == "tests/test_code.py"
        )
