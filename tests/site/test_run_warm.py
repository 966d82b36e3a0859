"""What Run does once Python has been loaded; the tests share one tab."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from runner.server import ROOT
from tests.site.running import names, press, printed, run, scene, status
from tests.site.test_browser import AXE

pytestmark = pytest.mark.slow

LONGEST_TASK = 50
"""Milliseconds for which a run may keep the main thread of the page busy at a time."""


@pytest.fixture(scope="module")
def warm(reader: BrowserContext) -> Iterator[Page]:
    """A tab in which Python has been loaded by a first run."""
    page = reader.new_page()
    page.goto("/multiple-tasks/", wait_until="networkidle")
    run(page, scene(page, "multiple_tasks/in_order"))
    yield page
    page.close()


def test_an_edit_is_run_and_reset_brings_the_file_back(warm: Page):
    element = scene(warm, "multiple_tasks/in_order")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    code = editor.input_value()
    assert code == (ROOT / "examples/multiple_tasks/in_order.py").read_text()
    added = "    background_tasks.add_task(create_thumbnail)\n"
    editor.fill(code.replace(added, added * 2).replace("sleep(1)", "sleep(0.3)"))
    assert len(run(warm, element)["tasks"]) == 3
    assert len(names(element)) == 4
    press(element, "Reset")
    assert editor.input_value() == code
    assert len(run(warm, element)["tasks"]) == 2


def test_an_exception_shows_pythons_last_lines_and_where(warm: Page):
    failing = scene(warm, "multiple_tasks/first_failure")
    run(warm, failing)
    assert "in send_welcome_email" in failing.get_by_role("region").inner_text()
    press(failing, "Edit")
    editor = failing.get_by_role("textbox")
    editor.fill("from fastapi import FastAPI\napp = FastApi()\n")
    press(failing, "Run")
    status(failing, "raised an exception")
    output = failing.get_by_role("region").inner_text()
    assert 'File "main.py", line 2' in output
    assert "NameError: name 'FastApi' is not defined" in output
    editor.fill("def broken(:\n")
    press(failing, "Run")
    printed(failing, "SyntaxError")
    status(failing, "raised an exception")


def test_axe_finds_nothing_before_during_and_after_a_run(warm: Page):
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    warm.evaluate(AXE.read_text())

    def violations() -> list[str]:
        found = warm.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]

    element = scene(warm, "multiple_tasks/at_the_same_time")
    for scheme in ("light", "dark"):
        warm.emulate_media(color_scheme=scheme)
        assert violations() == []
        press(element, "Run")
        printed(element, "send_welcome_email: started")
        assert violations() == []
        status(element, "Finished")
        assert violations() == []
        press(element, "Edit" if scheme == "light" else "Reset")


def test_the_page_stays_responsive_during_a_run(warm: Page):
    warm.evaluate(
        "window.long = []; new PerformanceObserver(list => long.push(..."
        "list.getEntries().map(e => e.duration))).observe({type: 'longtask'})"
    )
    longest = []
    for _ in range(3):  # a busy machine may take the processor away during one
        run(warm, scene(warm, "multiple_tasks/at_the_same_time"))
        longest.append(max(warm.evaluate("window.long.splice(0)"), default=0))
    assert min(longest) < LONGEST_TASK


def test_an_endless_loop_is_stopped_by_hand_and_a_scene_by_another(warm: Page):
    warm.goto("/background-tasks/")
    element = scene(warm, "background_tasks/first_task")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    code = editor.input_value()
    editor.fill(code.replace("time.sleep(1)", "while True: pass"))
    press(element, "Run")
    printed(element, "send_receipt: started")
    press(element, "Stop")
    status(element, "Stopped.")
    press(element, "Reset")
    press(element, "Run")
    second = scene(warm, "background_tasks/def_or_async")
    assert len(run(warm, second)["tasks"]) == 2
    status(element, "Stopped: another example was started.")


def test_after_another_page_and_back_it_runs_again(warm: Page):
    warm.goto("/background-tasks/")
    press(scene(warm, "background_tasks/first_task"), "Run")
    warm.get_by_role("link", name="Next").click()
    warm.wait_for_url("**/multiple-tasks/")
    warm.go_back()
    element = scene(warm, "background_tasks/first_task")
    assert len(run(warm, element)["tasks"]) == 1
