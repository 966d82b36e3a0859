"""The built pages in a real Chromium."""

import gzip
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Literal
from urllib.parse import urljoin, urlsplit

import pytest
from coloraide import Color
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Response,
    Route,
)

from runner.process import ROOT
from workshop.hook import PURGECSS
from workshop.pages import PAGES, address_of, front_matter

pytestmark = [pytest.mark.slow, pytest.mark.audit]

AXE = ROOT / "node_modules/axe-core/axe.min.js"
NO_PURGECSS = "needs purgecss from npm: make node_modules/axe-core"
MATERIAL = ROOT / str(files("material") / "templates/assets/stylesheets")
PATHS = [address_of(page) for page in PAGES]
LESS_OF_THE_SAME = """() => {
    const seen = new Set()
    for (const token of document.querySelectorAll(".highlight span[class]")) {
        const kind = token.className + (token.closest("ins") ? " added" : "")
        if (seen.has(kind)) token.remove()
        seen.add(kind)
    }
    for (const proof of [...document.querySelectorAll("details")].slice(0, 3)) proof.open = true
}"""
"""Opens three proofs, and leaves one token of each colour in all code: axe takes long."""
NO_DRAWING = """() => {
    const drawn = "svg.timeline :not(title, desc)"
    for (const shape of document.querySelectorAll(drawn)) shape.remove()
}"""
"""Leaves of each figure what is heard: axe does not see how text lies on a drawing."""
LOOKS = """() => {
    const looks = [], styles = new Map()
    for (const element of document.querySelectorAll("*"))
        for (const part of ["", "::before", "::after"]) {
            const style = getComputedStyle(element, part)
            if (part && style.content === "none") continue
            const words = style.cssText.replace(/--[\\w-]+: [^;]*;/g, "")
            if (!styles.has(words)) styles.set(words, styles.size)
            looks.push(`${element.tagName} ${element.className} ${part} ${styles.get(words)}`)
        }
    return [...looks, ...styles.keys()]
}"""
"""How each element looks, as the browser has computed it: a line each."""
FADED_IN = "document.getAnimations().forEach(animation => animation.finish())"
MOST_BYTES = 70_000
"""That a page may weigh, compressed, with everything it loads."""
MOST_ELEMENTS = 3_000
TALLEST = 9_000
"""Pixels of a page, at a width of 1280."""


@pytest.fixture(scope="session")
def tab(browser: Browser, site_url: str) -> Iterator[Page]:
    """One tab for all tests, without a cache, of a reader who may read the clipboard."""
    context = browser.new_context(base_url=site_url)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    network = context.new_cdp_session(tab)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    yield tab
    context.close()


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """That tab as it was opened. Fails on errors in the console."""
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    def fail(error: Error) -> None:
        errors.append(str(error))

    tab.set_viewport_size({"width": 1280, "height": 1000})
    tab.emulate_media(color_scheme="light")
    tab.on("console", listen)
    tab.on("pageerror", fail)
    yield tab
    tab.remove_listener("console", listen)
    tab.remove_listener("pageerror", fail)
    assert errors == []


@pytest.mark.parametrize("path", [*PATHS, "/404.html"])
def test_a_page(page: Page, site_url: str, path: str, subtests: pytest.Subtests):
    """One visit for many claims, because it takes long: each fails under its own name."""
    page.set_viewport_size({"width": 1280, "height": 3000})  # no sidebar scrolls
    weights = {r.url: len(gzip.compress(r.body(), mtime=0)) for r in load(page, path)}
    with subtests.test("loads nothing from another host"):
        assert [url for url in weights if not url.startswith(site_url)] == []
    with subtests.test("is light"):
        if not PURGECSS.exists():
            pytest.skip(NO_PURGECSS)
        assert sum(weights.values()) < MOST_BYTES, weights
    with subtests.test("is short"):
        assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST
        elements = page.evaluate("document.querySelectorAll('*').length")
        assert elements <= MOST_ELEMENTS
    blocks = page.locator("article > .language-python")
    for block in (*blocks.all()[:1], *blocks.filter(has=page.locator("del")).all()):
        file = ROOT / block.locator(".filename").inner_text()
        with subtests.test("is copied byte for byte", file=file.name):
            block.get_by_title("Copy to clipboard").click()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied == file.read_text()
    with subtests.test("fits a small screen"):
        page.set_viewport_size({"width": 360, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    show_everything(page)
    for scheme in ("light", "dark"):
        with subtests.test("draws figures that can be read", scheme=scheme):
            switch(page, scheme)
            assert faint_texts_of_figures(page) == []
    if not AXE.exists():
        pytest.skip("needs axe-core from npm: make node_modules/axe-core")
    page.evaluate(NO_DRAWING)
    page.evaluate(AXE.read_text())
    with subtests.test("has colours with contrast in the dark"):
        assert found_by_axe(page, runOnly=["color-contrast"]) == []
    with subtests.test("is accessible"):
        switch(page, "light")
        assert found_by_axe(page) == []


def test_no_script_of_material_comes_before_the_reader_moves(
    browser: Browser, site_url: str
):
    """Before, the page is complete, with its search."""
    page = browser.new_page(base_url=site_url)
    loaded: list[str] = []
    page.on("response", lambda response: loaded.append(response.url))
    page.goto("/restarts/")
    page.wait_for_load_state("networkidle")
    assert not [url for url in loaded if "javascripts" in url]
    assert page.get_by_role("textbox", name="Search").is_visible()
    move(page)
    page.get_by_title("Copy to clipboard").first.wait_for()
    assert not [url for url in loaded if "search" in url]
    page.close()


@pytest.mark.parametrize("script", [True, False])
def test_an_example_unfolds(browser: Browser, site_url: str, script: bool):
    """Space on the box above it shows the whole new file, with a script also a click on a fold."""
    page = browser.new_page(base_url=site_url, java_script_enabled=script)
    page.goto("/sessions-and-dependencies/")
    block = page.locator(".highlight").filter(has_text="row_found.py")
    removed, folded = block.locator("del").first, block.locator(".folded").first
    assert removed.is_visible()
    assert not folded.is_visible()
    box = block.get_by_role("checkbox", name=re.compile("all 45 lines"))
    box.press("Space")
    assert folded.is_visible()
    assert not removed.is_visible()
    box.press("Space")
    block.locator(".fold").first.click()
    assert folded.is_visible() == script
    page.close()


def test_what_is_removed_and_added_is_said_and_signed(browser: Browser, site_url: str):
    """To a screen reader by words, to the eye by signs, on paper too."""
    page = browser.new_page(base_url=site_url)
    page.goto("/sessions-and-dependencies/")
    block = page.locator(".highlight").filter(has_text="row_found.py")
    for media in ("screen", "print"):
        page.emulate_media(media=media)
        heard = block.locator("pre").aria_snapshot()
        assert "insertion" in heard
        assert "deletion" in heard
        for kind, words in (
            ("ins", '"+" / "added: "'),
            ("del", '"\N{MINUS SIGN}" / "removed: "'),
        ):
            line = block.locator(kind).first
            assert line.is_visible()
            style = "e => getComputedStyle(e, '::before').content"
            assert line.evaluate(style) == words
    page.close()


def results(page: Page) -> None:
    page.get_by_role("textbox", name="Search").fill("task blocks")
    page.locator(".md-search-result__link").first.wait_for()


def menu(page: Page) -> None:
    page.locator(".md-header__button[for=__drawer]").click()


def copied(page: Page) -> None:
    page.get_by_title("Copy to clipboard").first.click()
    page.locator(".md-dialog--active").wait_for()


def unfolded(page: Page) -> None:
    for fold in page.locator("summary, .whole input").all():
        fold.click()


def nothing(_: Page) -> None:
    """Look at the page as it is."""


@pytest.mark.parametrize(
    ("path", "width", "scheme", "does"),
    [
        ("/", 360, "dark", menu),
        ("/choosing/", 1280, "dark", unfolded),
        ("/background-tasks/", 1280, "light", copied),
        ("/restarts/", 1280, "light", results),
        ("/sessions-and-dependencies/", 1280, "light", unfolded),
        ("/404.html", 360, "dark", nothing),
    ],
)
def test_everything_looks_as_with_the_whole_style_of_material(
    browser: Browser,
    site_url: str,
    path: str,
    width: int,
    scheme: Literal["light", "dark"],
    does: Callable[[Page], None],
):
    """What is dropped of it, when the site is built, is not seen: on pages, in the menu, in search."""
    if not PURGECSS.exists():
        pytest.skip(NO_PURGECSS)

    def whole(route: Route) -> None:
        name = urlsplit(route.request.url).path.rpartition("/")[2]
        route.fulfill(path=MATERIAL / name)

    seen = []
    for styles in ("assets/stylesheets/*.css", "nothing"):
        context = browser.new_context(
            base_url=site_url,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.route(f"**/{styles}", whole)
        load(page, path)
        does(page)
        page.mouse.move(0, 0)
        page.evaluate(FADED_IN)
        seen.append(page.evaluate(LOOKS))
        context.close()
    assert [one for one, other in zip(*seen, strict=True) if one != other] == []


@pytest.mark.parametrize(("scheme", "name"), [("light", "default"), ("dark", "slate")])
def test_a_reader_who_prefers_dark_sees_dark_before_anything_moves(
    browser: Browser, site_url: str, scheme: Literal["light", "dark"], name: str
):
    context = browser.new_context(base_url=site_url, color_scheme=scheme)
    page = context.new_page()
    for _ in range(2):  # the second time the choice is kept
        page.goto("/multiple-tasks/")
        assert page.evaluate("document.body.dataset.mdColorScheme") == name
        move(page)
        assert page.evaluate("document.body.dataset.mdColorScheme") == name
    context.close()


def load(page: Page, path: str) -> list[Response]:
    """Go to a page as a reader with a mouse, and wait until it loads nothing any more; return all it has loaded."""
    responses: list[Response] = []

    def keep(response: Response) -> None:
        responses.append(response)

    page.on("response", keep)
    page.goto(path)  # a busy machine is idle on the network before scripts run
    move(page)
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", keep)
    return responses


def move(page: Page) -> None:
    """Move the mouse, and wait for Material's script, which waits for that."""
    page.mouse.move(1, 1)
    page.locator("[data-md-component=palette] label:not([hidden])").wait_for()


def show_everything(page: Page) -> None:
    """Leave nothing below the end of the screen, behind a proof, or in front of the page."""
    page.evaluate(LESS_OF_THE_SAME)
    page.mouse.move(0, 0)
    page.evaluate(  # "Copied to clipboard" goes away by itself, after a while
        "document.querySelector('.md-dialog').replaceChildren()"
    )
    page.set_viewport_size({"width": 1280, "height": 3000})
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": 1280, "height": height})  # nothing overlaps


def switch(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Change the colours. Half faded in, one cannot be judged."""
    page.emulate_media(color_scheme=scheme)
    name = {"light": "default", "dark": "slate"}[scheme]
    page.wait_for_selector(f"body[data-md-color-scheme={name}]", state="attached")
    page.evaluate(FADED_IN)


def found_by_axe(page: Page, **options: list[str]) -> list[tuple[str, str, str]]:
    """What axe finds wrong, and what it cannot decide."""
    kinds = ["violations", "incomplete"]
    result = page.evaluate("o => axe.run(o)", {"resultTypes": kinds, **options})
    return [
        (kind, rule["id"], node["html"])
        for kind in kinds
        for rule in result[kind]
        for node in rule["nodes"]
    ]


def faint_texts_of_figures(page: Page) -> list[str]:
    """The colours in figures with a contrast below 4.5 to the page (WCAG 2.2, 1.4.3)."""
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    fills = page.evaluate(
        "[...document.querySelectorAll('svg.timeline text')]"
        ".map(text => getComputedStyle(text).fill)"
    )
    return [fill for fill in set(fills) if contrast(fill, paper) < 4.5]


def contrast(ink: str, paper: str) -> float:
    """The contrast of a colour, which may be transparent, to the one below it."""
    return Color.layer([ink, paper], space="srgb").contrast(paper, method="wcag21")


def test_copying_a_session_gives_what_is_typed(page: Page):
    load(page, "/background-tasks/")
    block = page.locator(".language-console", has_text="POST").first
    block.get_by_title("Copy to clipboard").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "curl -X POST http://127.0.0.1:8000/task"


def test_a_link_to_a_proof_opens_it(page: Page):
    page.goto("/conclusion/")
    page.get_by_role("link", name="one after another").click()
    page.wait_for_url("**/multiple-tasks/#test_tasks_of_one_request*")
    page.locator("details.proof[open]").wait_for()


def test_a_click_during_which_materials_script_comes_is_not_lost(page: Page):
    """The script moves the table that the link is in; the first touch of a page may be on such a link."""
    page.goto("/conclusion/")
    held: list[Route] = []
    page.route("**/javascripts/bundle*", lambda route: held.append(route), times=1)
    with page.expect_request("**/javascripts/bundle*"):
        page.get_by_role("link", name="one after another").hover()
    page.mouse.down()
    held[0].continue_()
    page.wait_for_function("() => window.document$")  # it has run
    page.evaluate("new Promise(requestAnimationFrame)")
    page.mouse.up()
    page.wait_for_url("**/multiple-tasks/#test_tasks_of_one_request*")


@pytest.fixture(scope="session")
def searching(browser: Browser, site_url: str) -> Iterator[Page]:
    """A tab for all searches: it takes a while until the site's words are read."""
    tab = browser.new_page(base_url=site_url)
    tab.set_default_timeout(120_000)
    tab.goto("/")
    yield tab
    tab.close()


@pytest.mark.parametrize("name", [name for name in PAGES if name != "index"])
def test_a_search_in_a_readers_words_finds_the_page(searching: Page, name: str):
    box = searching.get_by_role("textbox", name="Search")
    links = searching.locator(".md-search-result__link")
    for words in front_matter(name)["searches"]:
        for typed in ("", words):
            box.fill(typed)
            box.press("End")  # Material listens to keys
            links.first.wait_for(state="visible" if typed else "detached")
        url = urljoin(searching.url, links.first.get_attribute("href"))
        path = url.removeprefix(searching.url).split("?")[0].split("#")[0]
        found = path.strip("/") or "index"
        assert found == name, (
            f"docs/{name}.md: a search for {words!r} finds {found}: use these words in "
            "title, headings and first sentences, which weigh most, or change "
            "search: boost in the front matter"
        )


def test_the_site_can_be_read_without_javascript(browser: Browser, site_url: str):
    context = browser.new_context(base_url=site_url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/multiple-tasks/")
    proof = page.locator("details.proof").first
    proof.locator("summary").click()
    assert proof.locator("code").last.is_visible()
    context.close()
