"""Run in browsers other than Chromium, and in Chromium without stack switching (JSPI)."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from playwright.sync_api import Page

from recording.model import Recording, Run, load, read
from recording.shape import differences
from runner.process import ROOT
from tests.button.browsers import FORBIDDEN, Window, firefox, unwrapped, webkit, wrapped
from tests.button.running import ADD_PAGE, RUNNABLE, path_of

pytestmark = [pytest.mark.slow, pytest.mark.browsers, pytest.mark.timeout(600)]

PRESS_RUN = f"""
    const [name, path] = args
    const find = () => document.querySelector(`figure[data-scene="${{name}}"] + run-scene`)
    if (!find()) await ({ADD_PAGE})(path)
    await customElements.whenDefined("run-scene")
    const element = find()
    let run
    element.addEventListener("done", event => {{ run = event.detail }})
    element.querySelector("button.run").click()
    while (element.querySelector("button.run").disabled)
        await new Promise(next => setTimeout(next, 20))
    return run ?? element.innerText
"""
SEARCH = """
    const field = document.querySelector("input.md-search__input")
    field.value = "task blocks"
    while (!document.querySelector(".md-search-result__link")) {
        for (const kind of ["focusin", "keyup"]) // a window that nobody sees has no focus
            field.dispatchEvent(new Event(kind, {bubbles: true}))
        await new Promise(next => setTimeout(next, 200))
    }
    return document.querySelector(".md-search-result__link").href
"""
ADD_SCRIPT = """
    const script = document.createElement("script")
    script.textContent = "0"
    document.body.append(script)
    while (!forbidden.length) await new Promise(next => setTimeout(next, 20))
    return forbidden
"""
LACKING = "delete WebAssembly.Suspending; delete WebAssembly.promising\n"


class _Chromium:
    """A window of it, in whose workers there is no stack switching."""

    def __init__(self, page: Page) -> None:
        self._page = page
        page.add_init_script(FORBIDDEN)
        self.version = f"Chromium {page.context.browser.version} without JSPI"
        worker = LACKING + (ROOT / "button/worker.js").read_text()
        page.route(
            "**/run/worker.js",
            lambda route: route.fulfill(body=worker, content_type="text/javascript"),
        )

    def go(self, url: str) -> None:
        self._page.goto(url)

    def call(self, script: str, *args: str) -> Any:
        return unwrapped(self._page.evaluate(wrapped(script, args)))


@pytest.fixture(scope="module", params=["chromium", "firefox", "webkit"])
def window(
    request: pytest.FixtureRequest,
    runtime: None,
    site_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Window]:
    """A window at the page of the first example."""
    with ExitStack() as stack:
        window: Window
        if request.param == "chromium":
            page = request.getfixturevalue("browser").new_page()
            window = _Chromium(stack.enter_context(closing(page)))
        else:
            opened = {"firefox": firefox, "webkit": webkit}[request.param]
            window = stack.enter_context(opened(tmp_path_factory.mktemp("browser")))
        window.go(f"{site_url}/background-tasks/")
        yield window


@pytest.mark.parametrize("name", RUNNABLE)
def test_run_has_the_shape_of_the_recorded_run(window: Window, name: str):
    """The same in Firefox, in WebKit and in a Chromium without JSPI, with which a browser pauses a function in its middle. Without it a function that sleeps in a thread is run as an `async` twin."""
    shown = window.call(PRESS_RUN, name, path_of(name))
    assert isinstance(shown, dict), f"{window.version}: {shown}"
    found = differences(read(Run, shown), load(Recording, name).run)
    assert not found, "\n".join([window.version, *found])


def test_the_policy_of_the_published_site_forbids_nothing_that_it_does(
    window: Window, site_url: str
):
    """To load, to search and to run. A script that is added to the page is forbidden."""
    window.go(f"{site_url}/background-tasks/")
    assert window.call(SEARCH).startswith(site_url)
    name = RUNNABLE[0]
    assert isinstance(window.call(PRESS_RUN, name, path_of(name)), dict)
    assert window.call("return forbidden") == []
    assert window.call(ADD_SCRIPT) == ["script-src-elem: inline"]
