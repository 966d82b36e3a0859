"""What no longer holds under other versions is told by page."""

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

from tests.other_versions import (
    lower_bounds,
    other_than_pinned,
    told,
    wanted,
    wrong_in,
)

REPORT = """<testsuites><testsuite>
<testcase file="tests/test_multiple_tasks.py" line="1" name="test_two_tasks_of_one_second_take_two_seconds">
  <failure message="AssertionError: assert 1 == 2&#10;and more">…</failure></testcase>
<testcase file="tests/test_multiple_tasks.py" line="1" name="test_two_tasks_of_one_second_take_two_seconds[again]">
  <failure message="runner.process.ServerError: the process ended, and it has not printed its address, but&#10;[+2 more lines]">E   but
E   TypeError: no

runner/process.py:1: ServerError</failure></testcase>
<testcase file="docs/arq.md" line="1" name="line:30,column:1"><failure message="docs/arq.md:31: prints something else">…</failure></testcase>
<testcase file="tests/test_recordings.py" line="1" name="test_a_scene_performed_again_has_the_shape_of_its_recording[multiple_tasks/in_order]"><error message="no">…</error></testcase>
<testcase file="tests/test_copies.py" line="1" name="test_a_copy[recipes/webhook.py]"><failure message="E">…</failure></testcase>
<testcase file="tests/test_browser.py" line="1" name="test_a_page[/heavy-work/]"><failure message="E">…</failure></testcase>
<testcase file="tests/test_runner.py" line="1" name="test_it"><failure message="E">…</failure></testcase>
<testcase file="tests/test_rq.py" line="1" name="test_fine"/>
<testcase file="tests/test_rq.py" line="1" name="test_skipped"><skipped message="needs"/></testcase>
</testsuite></testsuites>"""


def test_a_failure_is_told_under_its_page_with_the_claim(tmp_path: Path):
    file = tmp_path / "report.xml"
    file.write_text(REPORT)
    wrong = wrong_in(file)
    assert [each.page for each in wrong] == [
        "multiple-tasks",
        "multiple-tasks",
        "arq",
        "multiple-tasks",
        "recipes/webhook",
        "heavy-work",
        "of no page",
    ]
    lines = told(wrong, ["fastapi 0.115.0 (0.165.0 pinned)"]).splitlines()
    assert lines[1] == "  fastapi 0.115.0 (0.165.0 pinned)"
    assert lines[2:5] == [
        "docs/arq.md",
        "  session, line 30",
        "    docs/arq.md:31: prints something else",
    ]
    at = lines.index("docs/multiple-tasks.md")
    assert lines[at + 1].startswith(
        "  claim: Two tasks of one second each take two seconds. (tests/"
    )
    assert lines[at + 2 : at + 4] == [
        "    assert 1 == 2",
        "    the process ended, and it has not printed its address, but … TypeError: no",
    ]
    assert lines[-1] == "7 do not hold"


def test_the_lowest_versions_are_the_lower_bounds():
    bounds = {(b := Requirement(line)).name: b.specifier for line in lower_bounds()}
    asked = wanted(["site", "examples"])
    assert bounds.keys() == asked.keys()
    for name, requirement in asked.items():
        assert all(version.operator == "==" for version in bounds[name])
        assert next(iter(bounds[name])).version in requirement.specifier


def test_the_report_names_what_the_last_commit_had_pinned():
    def before(file: Path) -> str:
        return re.sub(r"(?m)^fastapi==.*", "fastapi==0.1", file.read_text())

    told = other_than_pinned(Path(sys.executable), None, before)
    ours = [line for line in told if line.split()[0] in wanted()]
    assert told[: len(ours)] == ours
    assert any(re.fullmatch(r"fastapi \S+ \(0\.1 pinned\)", line) for line in ours)
