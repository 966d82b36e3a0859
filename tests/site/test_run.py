"""The Run button in a real Chromium: it does what a server does, and harms no page."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Response

from runner.record import load
from runner.scenes import SCENES
from runner.server import ROOT
from runner.shape import shape
from tests.site.test_browser import AXE

pytestmark = pytest.mark.slow

RUNTIME = ROOT / "theme/overrides/assets/run/env.zip"
PAGES = {
    page: page.replace("_", "-") for page in ("background_tasks", "multiple_tasks")
}
MOST_TO_LOAD = 9_500_000
"""Bytes that the first click may load, compressed."""
MOST_BEFORE = 6_000
"""Bytes that the feature may add to a page before the click, compressed."""
LONGEST_TASK = 50
"""Milliseconds for which a run may keep the main thread of the page busy at a time."""


@pytest.fixture(scope="module")
def context(browser: Browser, site_url: str) -> Iterator[BrowserContext]:
    """One reader for all tests, whose browser keeps what it has loaded once."""
    if not RUNTIME.exists():
        pytest.skip("needs the runtime of the Run button: make, with npm and PyPI")
    size = {"width": 1280, "height": 1000}
    context = browser.new_context(base_url=site_url, viewport=size)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab of that reader."""
    page = context.new_page()
    yield page
    page.close()


def scene(page: Page, name: str) -> Locator:
    return page.locator(f"figure[data-scene='{name}'] + run-scene")


def press(element: Locator, button: str) -> None:
    element.get_by_role("button", name=button, exact=True).click()


def run(page: Page, element: Locator) -> dict[str, Any]:
    """Press Run, wait for the end, return the recording that the page made."""
    element.evaluate(
        "e => { e.result = new Promise(r => e.addEventListener('done', x => r(x.detail))) }"
    )
    press(element, "Run")
    return page.evaluate("e => e.result", element.element_handle())


def status(element: Locator, text: str) -> None:
    """Wait until the element says so."""
    element.get_by_role("status").filter(has_text=text).wait_for()


def printed(element: Locator, text: str) -> None:
    """Wait until the run has printed it."""
    element.get_by_role("region").filter(has_text=text).wait_for()


def names(element: Locator) -> list[str]:
    """The names of the bars of the live figure."""
    return element.locator("text.name").all_inner_texts()


@pytest.mark.parametrize("folder", PAGES)
def test_run_in_the_browser_has_the_shape_of_the_recorded_run(page: Page, folder: str):
    """A run in the browser has the same lanes, order, overlap and errors as the recorded one."""
    page.goto(f"/{PAGES[folder]}/")
    wanted = [
        name
        for name, scene in SCENES.items()
        if name.startswith(folder) and not scene.not_in_browser
    ]
    assert page.locator("run-scene").count() == len(wanted)
    for name in wanted:
        recording = run(page, scene(page, name))
        assert shape(recording) == shape(load(name)), name
        answered = recording["requests"][0]["received"]
        assert answered <= min(task["end"] for task in recording["tasks"])


def test_a_scene_that_would_mislead_has_no_button(page: Page):
    for name, its_scene in SCENES.items():
        page.goto(f"/{name.split('/')[0].replace('_', '-')}/")
        assert scene(page, name).count() == (not its_scene.not_in_browser), name


def test_the_front_page_runs(page: Page):
    page.goto("/")
    element = scene(page, "background_tasks/first_task")
    run(page, element)
    status(element, "Finished")
    output = element.get_by_role("region").inner_text().splitlines()
    assert output == [
        'POST /task → 200 {"message":"Task has been queued"}',
        "send_receipt: started",
        "send_receipt: done",
    ]


def test_each_button_links_to_what_differs_from_a_server(page: Page):
    page.goto("/multiple-tasks/")
    page.get_by_role("link", name="What differs from a server?").first.click()
    page.wait_for_url("**/#what-run-does")
    assert page.locator("h2#what-run-does").is_visible()


def test_an_edit_is_run_and_reset_brings_the_file_back(page: Page):
    page.goto("/multiple-tasks/")
    element = scene(page, "multiple_tasks/in_order")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    code = editor.input_value()
    assert code == (ROOT / "examples/multiple_tasks/in_order.py").read_text()
    added = "    background_tasks.add_task(create_thumbnail)\n"
    editor.fill(code.replace(added, added * 2).replace("sleep(1)", "sleep(0.3)"))
    assert len(run(page, element)["tasks"]) == 3
    assert len(names(element)) == 4
    press(element, "Reset")
    assert editor.input_value() == code
    assert len(run(page, element)["tasks"]) == 2


def test_an_exception_shows_pythons_last_lines_and_where(page: Page):
    page.goto("/multiple-tasks/")
    element = scene(page, "multiple_tasks/in_order")
    press(element, "Edit")
    element.get_by_role("textbox").fill(
        "from fastapi import FastAPI\napp = FastApi()\n"
    )
    press(element, "Run")
    status(element, "raised an exception")
    output = element.get_by_role("region").inner_text()
    assert 'File "main.py", line 2' in output
    assert "NameError: name 'FastApi' is not defined" in output
    element.get_by_role("textbox").fill("def broken(:\n")
    press(element, "Run")
    printed(element, "SyntaxError")
    failing = scene(page, "multiple_tasks/first_failure")
    run(page, failing)
    assert "in send_welcome_email" in failing.get_by_role("region").inner_text()


def test_an_endless_loop_is_stopped_and_python_starts_afresh(page: Page):
    page.goto("/background-tasks/")
    element = scene(page, "background_tasks/first_task")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    code = editor.input_value()
    editor.fill(code.replace("time.sleep(1)", "while True: pass"))
    press(element, "Run")
    printed(element, "send_receipt: started")
    press(element, "Stop")
    status(element, "Stopped.")
    press(element, "Reset")
    assert len(run(page, element)["tasks"]) == 1


def test_two_scenes_of_a_page_share_one_python(page: Page):
    loaded: list[str] = []
    page.on("response", lambda response: loaded.append(response.url))
    page.goto("/background-tasks/")
    run(page, scene(page, "background_tasks/first_task"))
    second = scene(page, "background_tasks/def_or_async")
    run(page, second)
    run(page, second)
    assert len([url for url in loaded if url.endswith("env.zip")]) == 1


def test_starting_another_scene_stops_the_first(page: Page):
    page.goto("/background-tasks/")
    first = scene(page, "background_tasks/first_task")
    press(first, "Run")
    run(page, scene(page, "background_tasks/def_or_async"))
    status(first, "Stopped: another example was started.")


def test_after_another_page_and_back_it_runs_again(page: Page):
    page.goto("/background-tasks/")
    press(scene(page, "background_tasks/first_task"), "Run")
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**/multiple-tasks/")
    page.go_back()
    element = scene(page, "background_tasks/first_task")
    assert len(run(page, element)["tasks"]) == 1


def test_the_keyboard_is_enough(page: Page):
    page.goto("/")
    element = scene(page, "background_tasks/first_task")
    element.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "TEXTAREA"
    element.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Space")
    status(element, "Finished")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_before_during_and_after_a_run(page: Page, scheme: str):
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    page.emulate_media(color_scheme=scheme)
    page.goto("/multiple-tasks/")
    page.evaluate(AXE.read_text())

    def violations() -> list[str]:
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]

    element = scene(page, "multiple_tasks/in_order")
    assert violations() == []
    press(element, "Edit")
    press(element, "Run")
    printed(element, "send_welcome_email: started")
    assert violations() == []
    status(element, "Finished")
    assert violations() == []


def test_nothing_is_loaded_before_the_click_and_little_enough_after_it(page: Page):
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))
    page.context.on("response", lambda response: responses.append(response))
    page.goto("/", wait_until="networkidle")
    before = {response.url for response in responses}
    assert not [url for url in before if "/run/" in url or "run-worker" in url]
    own = (ROOT / "theme/overrides/assets/run.js").read_bytes()
    style = (ROOT / "theme/overrides/assets/site.css").read_text()
    own += style[style.index("/* Run, under") :].encode()
    assert len(gzip.compress(own)) < MOST_BEFORE
    run(page, scene(page, "background_tasks/first_task"))
    assets = ROOT / "theme/overrides/assets"
    after = {response.url for response in responses} - before
    files = [Path(assets, url.partition("/assets/")[2]) for url in after]
    assert RUNTIME in files
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < MOST_TO_LOAD


def test_the_page_stays_responsive_during_a_run(page: Page):
    page.goto("/multiple-tasks/", wait_until="networkidle")
    page.evaluate(
        "window.long = []; new PerformanceObserver(list => long.push(..."
        "list.getEntries().map(e => e.duration))).observe({type: 'longtask'})"
    )
    run(page, scene(page, "multiple_tasks/in_order"))
    assert max(page.evaluate("window.long"), default=0) < LONGEST_TASK


def test_without_stack_switching_it_says_so_and_the_recording_stays(page: Page):
    page.add_init_script("delete WebAssembly.Suspending")
    page.goto("/")
    element = scene(page, "background_tasks/first_task")
    press(element, "Run")
    status(element, "This browser cannot run it")
    assert page.locator("figure[data-scene] svg").first.is_visible()


def test_without_the_network_it_says_so_and_can_be_tried_again(page: Page):
    page.context.route("**/env.zip", lambda route: route.abort())
    page.goto("/")
    element = scene(page, "background_tasks/first_task")
    press(element, "Run")
    status(element, "Python could not be loaded")
    page.context.unroute("**/env.zip")
    assert len(run(page, element)["tasks"]) == 1


@pytest.mark.parametrize("width", [360, 1280])
def test_a_live_figure_fits_the_screen(page: Page, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/")
    run(page, scene(page, "background_tasks/first_task"))
    assert page.evaluate("document.documentElement.scrollWidth") == width
