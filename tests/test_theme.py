"""The Markdown of the pages: snippets by name, and proofs."""

import re

import markdown
import pytest
from bs4 import BeautifulSoup
from pymdownx.snippets import SnippetMissingError

from recording.figure import css
from recording.model import Killed, Outcome, Speed
from recording.watching import LANES
from runner.process import ROOT
from theme import outcomes, proof, timeline
from theme.fences import Missing

IN_ORDER = ROOT / "examples/multiple_tasks/in_order.py"


def snippet(section: str) -> str:
    md = markdown.Markdown(
        extensions=["theme.snippets"],
        extension_configs={
            "theme.snippets": {"base_path": [ROOT / "examples"], "check_paths": True}
        },
    )
    lines = md.preprocessors["snippet"].run([f'--8<-- "{section}"'])
    return "\n".join(lines)


def test_a_whole_file():
    assert snippet("multiple_tasks/in_order.py") == IN_ORDER.read_text()


def test_one_function_by_its_name_with_its_decorators():
    shown = snippet("multiple_tasks/in_order.py:create_multiple_tasks")
    assert shown.startswith('@app.post("/multi-task")\nasync def create_multiple')
    assert shown.endswith('return {"message": "Multiple tasks have been queued"}')
    assert shown in IN_ORDER.read_text()


def test_several_names_in_the_order_of_the_file():
    shown = snippet("multiple_tasks/in_order.py:create_thumbnail,imports,app")
    names = ["import time", "app = FastAPI()", "def create_thumbnail"]
    assert sorted(names, key=shown.index) == names
    assert "send_welcome_email" not in shown


@pytest.mark.parametrize(
    "section",
    [
        "multiple_tasks/in_order.py:send_welcome_mail",
        "multiple_tasks/in_order.py:1:500",
        "multiple_tasks/out_of_order.py",
    ],
)
def test_a_name_a_range_or_a_file_that_is_not_there_fails_the_build(section: str):
    with pytest.raises((Missing, SnippetMissingError)):
        snippet(section)


def render(node: str) -> str:
    md = markdown.Markdown(
        extensions=["pymdownx.superfences", "pymdownx.highlight"],
        extension_configs={
            "pymdownx.superfences": {
                "custom_fences": [
                    {"name": "proof", "class": "proof", "format": proof.proof}
                ]
            }
        },
    )
    return md.convert(f"```proof\n{node}\n```")


def test_a_proof_is_the_statement_and_the_source_of_the_test():
    name = "test_the_first_exception_skips_the_tasks_after_it"
    html = render(f"tests/test_multiple_tasks.py::{name}")
    assert f'id="{name}"' in html
    assert "<summary>The first exception skips every task after it.</summary>" in html
    assert "first_failure:app" in html


@pytest.mark.parametrize(
    "node",
    [
        "tests/test_multiple_tasks.py::test_nothing_of_the_kind",
        "tests/test_no_such_page.py::test_anything",
        "tests/test_theme.py::test_a_whole_file",
    ],
)
def test_a_proof_without_a_test_or_a_statement_fails_the_build(node: str):
    with pytest.raises(Missing):
        render(node)


def test_a_timeline_is_a_figure_with_what_it_was_recorded_with():
    html = timeline.timeline("multiple_tasks/in_order", "", "", {}, markdown.Markdown())
    figure = BeautifulSoup(html, "html.parser").select_one("figure.timeline")
    assert figure["data-scene"] == "multiple_tasks/in_order"
    assert figure.select_one("svg.timeline[role=img][aria-label]")
    assert figure.figcaption.get_text().startswith("Recorded with Python 3.")
    with pytest.raises(Missing, match="no recording of multiple_tasks/out_of_order"):
        timeline.timeline(
            "multiple_tasks/out_of_order", "", "", {}, markdown.Markdown()
        )


def outcome(name: str, fates: str, settings: str = "of the page") -> Outcome:
    lost, twice = fates.count("l"), fates.count("t")
    killed = Killed(len(fates), lost, twice, None if lost else 1.5, fates)
    return Outcome(name, settings, {"worker": killed}, Speed(50.0, 100.0, 0.004))


def test_losses_have_a_mark_for_each_job_and_say_the_same_in_words():
    svg = outcomes.draw([outcome("Mine", "bbtl"), outcome("Yours", "bbaa", "default")])
    marks = [svg.count(f'"fate {c}"') for c in ("before", "after", "twice", "lost")]
    assert marks == [4, 2, 1, 1]
    assert "Mine: 1 lost, 1 twice</text>" in svg
    assert "Yours, default: 0 lost</text>" in svg
    assert "Mine: 2 done before the kill, 1 started twice, 1 lost" in svg
    assert "Yours, default: 2 done before the kill, 2 done after it" in svg


def test_a_comparison_has_a_row_for_each_way_and_shares_of_the_main_path():
    main = outcome("Taskiq, RabbitMQ", "bt")
    rows = [outcome("Mine", "bl"), main]
    main.speed = Speed(accepted=100.0, done=50.0, pickup=0.002)
    html = outcomes.tables(rows)
    assert "<td>Mine</td><td><b>1</b> of 2</td><td>-</td>" in html
    assert "<b>0</b> of 2, 1 twice, 1.5 s" in html
    assert "<td>Mine</td><td>0.5</td><td>2.0</td><td>4 ms</td>" in html
    main.speed.done = 2500.0
    assert "<td>Mine</td><td>0.5</td><td>0.04</td><td>4 ms</td>" in outcomes.tables(
        rows
    )


def test_each_lane_has_one_colour_in_both_schemes():
    style = (ROOT / "theme/overrides/assets/site.css").read_text()
    colours = {}
    for selectors, colour in re.findall(
        r"^(.*) \{ --lane: var\((.*)\); \}", style, re.M
    ):
        for selector in selectors.split(", "):
            colours[selector.removeprefix(".")] = colour
    assert len({colours[css(lane)] for lane in LANES}) == len(LANES)
    for lane in LANES:
        assert len(re.findall(rf"^  {colours[css(lane)]}: #", style, re.M)) == 2
