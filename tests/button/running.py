"""Presses the Run button and waits for what comes of it."""

from playwright.sync_api import Locator, Page

from recording.model import Run, read
from runner.scenes import SCENES
from workshop.pages import page_of_scene

RUNNABLE = [name for name, scene in SCENES.items() if scene.runs_in_browser]
"""The scenes with a button."""
ADD_PAGE = """async path => {
    const html = await (await fetch(path)).text()
    const other = new DOMParser().parseFromString(html, "text/html")
    document.querySelector("article").append(...other.querySelectorAll("article > *"))
}"""
"""Adds what another page shows below what is shown."""


def path_of(name: str) -> str:
    """Where the page is that shows that scene."""
    return f"/{page_of_scene(name, SCENES[name].example)}/"


def scene(page: Page, name: str) -> Locator:
    return page.locator(f"figure[data-scene='{name}'] + run-scene")


def press(element: Locator, button: str) -> None:
    element.get_by_role("button", name=button, exact=True).click()


def run(page: Page, element: Locator) -> Run:
    """Press Run, wait for the end, return what happened. Fails with what is shown instead."""
    element.evaluate(
        "e => { e.result = null; e.addEventListener('done', x => { e.result = x.detail }) }"
    )
    press(element, "Run")
    element.locator("button.run:enabled").wait_for()
    result = page.evaluate("e => e.result", element.element_handle())
    assert result, element.inner_text()
    return read(Run, result)


def status(element: Locator, text: str) -> None:
    """Wait until the element says so."""
    element.get_by_role("status").filter(has_text=text).wait_for()


def printed(element: Locator, text: str) -> None:
    """Wait until the run has printed it."""
    element.get_by_role("region").filter(has_text=text).wait_for()


def names(element: Locator) -> list[str]:
    """The names of the bars of the live figure."""
    return element.locator("text.name").all_inner_texts()
