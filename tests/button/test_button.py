"""The Run button in a real Chromium: it does what a server does, and harms no page.

To load Python takes long: all tests share one tab, and each leaves it usable.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response

from button.markup import BUILT
from recording.model import Recording, load
from recording.shape import differences
from runner.process import ROOT
from tests.button.running import (
    ADD_PAGE,
    RUNNABLE,
    names,
    path_of,
    press,
    printed,
    run,
    scene,
    status,
)
from tests.test_browser import AXE, switch
from tests.test_browser import load as load_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.audit,
    pytest.mark.long,
    pytest.mark.timeout(600),
]

ASSETS = ROOT / "theme/overrides/assets"
START = "background-tasks"
MOST_TO_LOAD = 7_000_000
"""Bytes that the first click may load, compressed."""
MOST_BEFORE = 6_000
"""Bytes that the feature may add to a page before the click, compressed."""
LONGEST_TASK = "() => { let n = 0; for (let i = 0; i < 4e7; i++) n += i % 7; return n }"
"""What may keep the main thread of the page busy at a time: 50 ms of a quick machine."""


@pytest.fixture(scope="module")
def responses() -> list[Response]:
    """What the tab has loaded since it was opened."""
    return []


@pytest.fixture(scope="module")
def page(reader: BrowserContext, responses: list[Response]) -> Iterator[Page]:
    """A tab at the page of the first example."""
    page = reader.new_page()
    load_page(page, f"/{START}/")
    page.on("response", lambda response: responses.append(response))
    yield page
    page.close()


def shown(page: Page, name: str) -> Locator:
    """The scene's element in that tab: its page is added below the others, once."""
    element = scene(page, name)
    if not element.count():
        page.evaluate(ADD_PAGE, path_of(name))
    return element


def test_nothing_is_loaded_before_the_click(reader: BrowserContext):
    page = reader.new_page()
    urls = [response.url for response in load_page(page, f"/{START}/")]
    page.close()
    assert [Path(url).name for url in urls if "/run/" in url] == ["element.js"]


def test_the_feature_adds_little_to_a_page():
    own = (ROOT / "button/element.js").read_bytes()
    style = (ASSETS / "site.css").read_text()
    own += style[style.index("/* Run, under") :].encode()
    assert len(gzip.compress(own)) < MOST_BEFORE


def test_without_the_network_it_says_so_and_another_click_loads_what_is_missing(
    page: Page,
):
    load_page(page, f"/{START}/")  # forgets Python
    element = scene(page, "background_tasks/first_task")
    page.context.route("**/env.tar.zst", lambda route: route.abort())
    press(element, "Run")
    status(element, "Python could not be loaded")
    page.context.unroute("**/env.tar.zst")
    assert len(run(page, element).calls) == 1


def test_the_pointer_at_the_button_begins_what_the_click_waits_for(
    page: Page, responses: list[Response]
):
    """Python is loaded when the pointer comes to Run, and not again by the click."""
    load_page(page, f"/{START}/")  # forgets Python
    before = len(responses)
    element = scene(page, "background_tasks/first_task")
    with page.expect_response("**/env.tar.zst"):
        element.get_by_role("button", name="Run", exact=True).hover()
    assert not element.get_by_role("region").count()
    run(page, element)
    names_ = [Path(response.url).name for response in responses[before:]]
    assert names_.count("worker.js") == 1


def test_the_first_click_loads_little(page: Page, responses: list[Response]):
    run(page, scene(page, "background_tasks/first_task"))
    paths = {response.url.partition("/assets/run/")[2] for response in responses} - {""}
    weights = {
        path: len(gzip.compress((BUILT / path).read_bytes(), 6)) for path in paths
    }
    assert "env.tar.zst" in weights
    assert sum(weights.values()) < MOST_TO_LOAD, weights


def test_nothing_comes_from_another_host(
    page: Page, responses: list[Response], site_url: str
):
    run(page, scene(page, "background_tasks/first_task"))
    urls = {response.url for response in responses}
    assert [url for url in urls if not url.startswith(site_url)] == []


def test_nothing_is_loaded_again(page: Page, responses: list[Response]):
    run(page, scene(page, "background_tasks/first_task"))
    before = len(responses)
    for _ in range(2):
        run(page, scene(page, "background_tasks/def_or_async"))
    assert [response.url for response in responses[before:]] == []


def test_keyboard_alone_is_enough_to_edit_to_leave_the_editor_and_to_run(page: Page):
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
    output = element.get_by_role("region").inner_text().splitlines()
    assert output == [
        'POST /task → 200 {"message":"Task has been queued"}',
        "send_receipt: started",
        "send_receipt: done",
    ]


@pytest.mark.parametrize("width", [360, 1280])
def test_a_run_fits_a_screen(page: Page, width: int):
    page.set_viewport_size({"width": width, "height": 1000})
    run(page, scene(page, "background_tasks/def_or_async"))
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_page_stays_responsive_while_python_is_loaded_and_runs(page: Page):
    """Python is loaded, imports FastAPI, runs and draws, all of it in a worker."""
    load_page(page, f"/{START}/")  # forgets Python
    element = scene(page, "background_tasks/def_or_async")
    longest = longest_task(page, lambda: run(page, element))
    assert longest < longest_task(page, lambda: page.evaluate(LONGEST_TASK))


def longest_task(page: Page, action: Callable[[], object]) -> float:
    """For how long a task keeps the main thread busy meanwhile, in seconds of a processor."""
    browser = page.context.browser
    browser.start_tracing(
        page=page, categories=["disabled-by-default-devtools.timeline"]
    )
    action()
    # The last task has ended, and is in the trace, when another has begun.
    page.evaluate("new Promise(done => setTimeout(done))")
    events = json.loads(browser.stop_tracing())["traceEvents"]
    main = {
        event["tid"]
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return max(
        event["tdur"] / 1_000_000
        for event in events
        if event["name"] == "RunTask" and event["tid"] in main and "tdur" in event
    )


def test_axe_finds_nothing_before_during_and_after_a_run(page: Page):
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    page.evaluate(AXE.read_text())

    def violations() -> list[str]:
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]

    element = scene(page, "background_tasks/def_or_async")
    for scheme in ("light", "dark"):
        switch(page, scheme)
        assert violations() == []
        press(element, "Run")
        printed(element, "resize_avatar ran")
        assert violations() == []
        status(element, "Finished")
        assert violations() == []
        press(element, "Edit" if scheme == "light" else "Reset")


@pytest.mark.parametrize("name", RUNNABLE)
def test_run_in_the_browser_has_the_shape_of_the_recorded_run(page: Page, name: str):
    """A run in the browser has the same lanes, order, overlap and errors as the recorded one."""
    in_the_page = run(page, shown(page, name))
    found = differences(in_the_page, load(Recording, name).run)
    mislead = f"if it cannot show that, say why in not_in_browser of the scene {name}"
    assert not found, "\n".join([*found, mislead])


def test_an_edit_is_run_and_reset_brings_the_file_back(page: Page):
    element = shown(page, "multiple_tasks/in_order")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    code = editor.input_value()
    assert code == (ROOT / "examples/multiple_tasks/in_order.py").read_text()
    added = "    background_tasks.add_task(create_thumbnail)\n"
    editor.fill(code.replace(added, added * 2).replace("sleep(1)", "sleep(0.3)"))
    assert len(run(page, element).calls) == 3
    assert len(names(element)) == 4
    press(element, "Reset")
    assert editor.input_value() == code
    assert len(run(page, element).calls) == 2


def test_an_exception_shows_pythons_last_lines_and_where(page: Page):
    failing = shown(page, "multiple_tasks/first_failure")
    run(page, failing)
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


def test_an_endless_loop_is_stopped_by_hand(page: Page):
    element = shown(page, "multiple_tasks/at_the_same_time")
    press(element, "Edit")
    editor = element.get_by_role("textbox")
    editor.fill(editor.input_value().replace("time.sleep(1)", "while True: pass"))
    press(element, "Run")
    printed(element, ": started")
    press(element, "Stop")
    status(element, "Stopped.")


def test_a_run_is_stopped_by_another(page: Page):
    first = shown(page, "multiple_tasks/in_order")
    press(first, "Run")
    second = shown(page, "background_tasks/def_or_async")
    assert len(run(page, second).calls) == 2
    status(first, "Stopped: another example was started.")


def test_after_another_page_and_back_it_runs_again(page: Page):
    press(shown(page, "background_tasks/first_task"), "Run")
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**/multiple-tasks/")
    page.go_back()
    element = shown(page, "background_tasks/first_task")
    assert len(run(page, element).calls) == 1


def test_what_has_run_links_to_what_differs_from_a_server(page: Page):
    page.goto("/multiple-tasks/")
    press(page.locator("run-scene").first, "Run")
    page.get_by_role("link", name="What differs from a server?").first.click()
    page.wait_for_url("**/#what-run-does")
    assert page.locator("h2#what-run-does").is_visible()
