"""The Run button in a real Chromium: it does what a server does, and harms no page."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Response

from runner.record import load
from runner.scenes import SCENES
from runner.server import ROOT
from runner.shape import shape
from tests.site.pages import page_of
from tests.site.running import press, run, scene, status
from theme.timeline import RUNTIME

pytestmark = pytest.mark.slow

RUNNABLE = [name for name, scene in SCENES.items() if not scene.not_in_browser]
MOST_TO_LOAD = 9_500_000
"""Bytes that the first click may load, compressed."""
MOST_BEFORE = 6_000
"""Bytes that the feature may add to a page before the click, compressed."""


@pytest.fixture
def page(reader: BrowserContext) -> Iterator[Page]:
    """A tab of that reader."""
    page = reader.new_page()
    yield page
    page.close()


def test_run_in_the_browser_has_the_shape_of_the_recorded_run(page: Page):
    """A run in the browser has the same lanes, order, overlap and errors as the recorded one."""
    page.goto("/")
    article = page.evaluate_handle("document.querySelector('article')")
    for path in {f"/{page_of(SCENES[name].example)}/" for name in RUNNABLE}:
        article.evaluate(  # all pages as one: Python is loaded once
            """async (article, path) => {
                const html = await (await fetch(path)).text()
                const other = new DOMParser().parseFromString(html, "text/html")
                article.append(...other.querySelectorAll("article > *"))
            }""",
            path,
        )
    for name in RUNNABLE:
        recording = run(page, scene(page, name).last)
        assert shape(recording) == shape(load(name)), name


def test_each_button_links_to_what_differs_from_a_server(page: Page):
    page.goto("/multiple-tasks/")
    page.get_by_role("link", name="What differs from a server?").first.click()
    page.wait_for_url("**/#what-run-does")
    assert page.locator("h2#what-run-does").is_visible()


def test_without_stack_switching_it_says_so_and_the_recording_stays(page: Page):
    page.add_init_script("delete WebAssembly.Suspending")
    page.goto("/")
    element = scene(page, "background_tasks/first_task")
    press(element, "Run")
    status(element, "This browser cannot run it")
    assert page.locator("figure[data-scene] svg").first.is_visible()


def test_nothing_is_loaded_before_the_click_little_after_it_and_nothing_again(
    page: Page,
):
    """Without the network it says so, and a second click loads what is missing."""
    responses: list[Response] = []
    page.context.on("response", lambda response: responses.append(response))
    page.goto("/background-tasks/", wait_until="networkidle")
    before = {response.url for response in responses}
    assert not [url for url in before if "/run/" in url or "run-worker" in url]
    own = (ROOT / "theme/overrides/assets/run.js").read_bytes()
    style = (ROOT / "theme/overrides/assets/site.css").read_text()
    own += style[style.index("/* Run, under") :].encode()
    assert len(gzip.compress(own)) < MOST_BEFORE
    element = scene(page, "background_tasks/first_task")
    page.context.route("**/env.zip", lambda route: route.abort())
    press(element, "Run")
    status(element, "Python could not be loaded")
    page.context.unroute("**/env.zip")
    assert len(run(page, element)["tasks"]) == 1
    assets = ROOT / "theme/overrides/assets"
    after = {response.url for response in responses} - before
    files = [Path(assets, url.partition("/assets/")[2]) for url in after]
    assert RUNTIME in files
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < MOST_TO_LOAD
    second = scene(page, "background_tasks/def_or_async")
    run(page, second)
    run(page, second)
    assert len([r for r in responses if r.url.endswith("env.zip")]) == 1
    keyboard_is_enough(page, element)
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def keyboard_is_enough(page: Page, element: Locator) -> None:
    """Edit, leave the editor, and run, with the keyboard alone."""
    element.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "TEXTAREA"
    element.get_by_role("button", name="Run", exact=True).focus()
    page.keyboard.press("Space")
    status(element, "Running")
    status(element, "Finished")
    output = element.get_by_role("region").inner_text().splitlines()
    assert output == [
        'POST /task → 200 {"message":"Task has been queued"}',
        "send_receipt: started",
        "send_receipt: done",
    ]
