"""The code is typed and formatted, and names nothing of one machine or one registry."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runner.process import ROOT

pytestmark = pytest.mark.every_page


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        [
            "mypy",
            "bench",
            "button",
            "examples",
            "recording",
            "runner",
            "theme",
            "workshop",
        ],
        ["lint-imports", "--no-cache"],
    ],
    ids=" ".join,
)
def test_the_linters_find_nothing(command: list[str]):
    """Who may import whom is in `pyproject.toml`: `lint-imports` holds it."""
    program, *arguments = command
    installed = Path(sys.executable).parent / program
    result = subprocess.run(
        [installed, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_shipped_to_the_browser_needs_the_standard_library_only():
    readers = [ROOT / "button/hints.py", ROOT / "button/reading.py"]
    for file in (*(ROOT / "recording").glob("*.py"), *readers):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=[ast.alias(name=name), *_]):
                    pass
                case ast.ImportFrom(module=str(name)):
                    pass
                case _:
                    continue
            package = name.partition(".")[0]
            own = package == file.parent.name
            assert own or package in sys.stdlib_module_names, file


def test_make_help_has_a_line_for_each_target():
    told = subprocess.check_output(["make", "help"], cwd=ROOT, text=True)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    lines = [line.split() for line in told.splitlines()]
    assert sorted(line[0] for line in lines) == sorted(phony[1].split())
    assert all(len(line) > 1 for line in lines)


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md"])
def test_what_is_to_be_typed_after_make_is_there(file: str):
    """What is shown in a terminal is run; of the rest `make` knows each target and word."""
    makefile = (ROOT / "Makefile").read_text()
    for typed in set(re.findall(r"`make ([^`]+)`", (ROOT / file).read_text())):
        target, *words = typed.split()
        assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE), typed
        for word in words:
            assert f"$({word.partition('=')[0]})" in makefile, typed


def test_no_committed_file_names_a_registry_or_a_path_of_a_machine():
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    foreign = re.compile(r"pypi\.(?:org|python)|registry\.npmjs|deb\.debian|/home/\w+/")
    for name in listed.splitlines():
        assert (
            not foreign.search((ROOT / name).read_text())
            or name == "tests/test_code.py"
        )
