"""The fences of the pages: examples, changes, proofs and figures."""

import difflib
import re
from collections import Counter
from pathlib import Path

import markdown
import pytest
from bs4 import BeautifulSoup

from recording.figure import css
from recording.model import Killed, Outcome, Speed
from recording.watching import LANES
from runner.process import ROOT
from theme import example, outcomes, proof, timeline
from theme.fences import Missing

ALL = {"proof": proof.proof, "example": example.example, "change": example.change}


def render(fence: str, text: str) -> str:
    md = markdown.Markdown(
        extensions=["pymdownx.superfences", "pymdownx.highlight"],
        extension_configs={
            "pymdownx.superfences": {
                "custom_fences": [
                    {"name": name, "class": name, "format": format}
                    for name, format in ALL.items()
                ]
            }
        },
    )
    return md.convert(f"```{fence}\n{text}\n```")


def seen(html: str) -> str:
    """What is seen of a block of code before it is unfolded: signs, and how much is folded."""
    code = BeautifulSoup(html, "html.parser").code
    for hidden in code.select(".folded"):
        hidden.decompose()
    for fold in code.select(".fold"):
        fold.replace_with(f"{fold['data-lines']}\n")
    for sign, name in (("- ", "del"), ("+ ", "ins")):
        for line in code.select(name):
            line.insert(0, sign)
    return code.get_text()


def copied(html: str) -> str:
    """The text of a block without what was removed, as the copy button copies it."""
    code = BeautifulSoup(html, "html.parser").code
    for line in code.select("del"):
        line.decompose()
    return code.get_text()


def source(path: str) -> str:
    return (ROOT / "examples" / path).read_text()


def test_an_example_is_the_whole_file_and_has_nothing_to_unfold():
    html = render("example", "multiple_tasks/in_order.py")
    assert seen(html) == copied(html) == source("multiple_tasks/in_order.py")
    assert "checkbox" not in html
    title = BeautifulSoup(html, "html.parser").select_one(".filename")
    assert title.get_text() == "examples/multiple_tasks/in_order.py"


def test_an_example_with_names_folds_the_rest_and_still_holds_it():
    html = render("example", "multiple_tasks/in_order.py: create_multiple_tasks, app")
    assert seen(html).splitlines()[:3] == [
        '"""Two tasks of one request run one after the other, in the order added."""',
        "⋯ 5 lines",
        "app = FastAPI()",
    ]
    assert seen(html).splitlines()[3:] == [
        "⋯ 14 lines",
        *source("multiple_tasks/in_order.py").splitlines()[-5:],
    ]
    assert copied(html) == source("multiple_tasks/in_order.py")
    assert "all 26 lines" in html


def test_of_the_empty_lines_between_two_that_are_shown_one_is_enough():
    html = render(
        "example", "multiple_tasks/in_order.py: send_welcome_email, create_thumbnail"
    )
    assert '")\n\ndef create_thumbnail' in seen(html)
    assert '")\n\n\ndef create_thumbnail' in copied(html)


def test_a_change_shows_what_differs_with_the_heads_of_its_functions():
    html = render(
        "change",
        "sessions_and_dependencies/row_not_found.py → "
        "sessions_and_dependencies/row_found.py",
    )
    assert seen(html).splitlines() == [
        '- """The session commits after yield, too late for the task that looks for its row."""',
        '+ """With scope="function" the session commits before the response and the task."""',
        "⋯ 29 lines",
        "tables.metadata.create_all(engine)",
        "- CurrentSession = Annotated[Session, Depends(open_session)]",
        '+ CurrentSession = Annotated[Session, Depends(open_session, scope="function")]',
        "⋯ 13 lines",
    ]


CHANGES = [
    change
    for page in (ROOT / "docs").rglob("*.md")
    for change in re.findall(r"```change\n(.*)\n```", page.read_text())
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_holds_the_new_file_and_nothing_that_differs_is_out_of_sight(
    change: str,
):
    before, after = map(source, change.split(" → "))
    html = render("change", change)
    assert copied(html) == after
    lines = seen(html).splitlines()
    differ = [
        line
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
        if line[0] in "+-" and line[2:].strip()
    ]
    for sign in "+-":
        shown = [line[2:] for line in lines if line.startswith(f"{sign} ")]
        wanted = [line[2:] for line in differ if line[0] == sign]
        assert Counter(wanted) <= Counter(shown), sign


@pytest.mark.parametrize(
    ("fence", "text"),
    [
        ("example", "multiple_tasks/in_order.py: send_welcome_mail"),
        ("example", "multiple_tasks/out_of_order.py"),
        ("change", "multiple_tasks/in_order.py"),
        ("change", "multiple_tasks/in_order.py → multiple_tasks/out_of_order.py"),
        ("change", "multiple_tasks/in_order.py → recipes/webhook.py"),
    ],
)
def test_what_is_not_there_or_no_change_fails_the_build(fence: str, text: str):
    with pytest.raises(Missing):
        render(fence, text)


def test_a_proof_is_the_statement_and_the_source_of_the_test():
    name = "test_the_first_exception_skips_the_tasks_after_it"
    html = render("proof", f"tests/test_multiple_tasks.py::{name}")
    assert f'id="{name}"' in html
    assert "<summary>The first exception skips every task after it.</summary>" in html
    assert "first_failure:app" in html


@pytest.mark.parametrize(
    "node",
    [
        "tests/test_multiple_tasks.py::test_nothing_of_the_kind",
        "tests/test_no_such_page.py::test_anything",
        "tests/test_theme.py::test_what_is_not_there_or_no_change_fails_the_build",
    ],
)
def test_a_proof_without_a_test_or_a_statement_fails_the_build(node: str):
    with pytest.raises(Missing):
        render("proof", node)


@pytest.mark.parametrize(
    ("statement", "marked"),
    [
        ("It says *Retries exceeded*.", "*Retries exceeded*"),
        ("It is **lost**.", "*lost*"),
        ("See [the page](celery.md).", "]("),
        ("Two * three, and `**more` of `[one](two)`.", None),
    ],
)
def test_a_statement_has_no_marks_but_backticks(
    statement: str,
    marked: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(proof, "ROOT", tmp_path)
    (tmp_path / "test_a.py").write_text(f'def test_b():\n    """{statement}"""\n')
    if marked is None:
        assert proof.find.__wrapped__("test_a.py::test_b")[1] == statement
        return
    with pytest.raises(Missing, match=re.escape(f"test_b has {marked} in its")):
        proof.find.__wrapped__("test_a.py::test_b")


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
    main.speed = Speed(accepted=100.0, done=50.0, pickup=0.002)
    ways = [outcome("Mine", "bl"), main, outcome("Mine", "ll", "default")]
    own, default = outcomes.split(ways)
    assert [way.settings for way in default] == ["default"]
    assert outcomes.main_of(ways) == main.speed
    html = outcomes.table(own, main.speed)
    assert "<td>Mine</td><td><b>1</b></td><td>-</td>" in html
    assert "<td>0.5</td><td>2.0</td><td>4 ms</td>" in html
    assert "<b>0</b>, 1 twice, 1.5 s" in html
    main.speed.done = 2500.0
    html = outcomes.table(own, main.speed)
    assert "<td>0.5</td><td>0.04</td><td>4 ms</td>" in html


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


def test_a_cell_of_a_stacked_table_names_its_column_and_no_other_does():
    table = "| | When | `How` |\n|---|---|---|\n| a | now | *so* |\n"
    text = f'{table}\n<div class="stacked" markdown>\n\n{table}\n</div>\n'
    extensions = ["md_in_html", "tables", "theme.stacked"]
    html = markdown.markdown(text, extensions=extensions)
    assert re.findall('<td data-column="(.*?)">(.*?)</td>', html) == [
        ("When", "now"),
        ("How", "<em>so</em>"),
    ]
    assert html.count("<td>a</td>") == 2
