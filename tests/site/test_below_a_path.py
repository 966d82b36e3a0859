"""The site as it is published, below a path of a host that sends its `_headers`."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from bs4 import BeautifulSoup
from mkdocs.config import load_config
from playwright.sync_api import Browser, ConsoleMessage
from playwright.sync_api import Page as Tab

from runner import client
from runner.process import ROOT
from tests.button.browsers import FORBIDDEN
from tests.button.running import run, scene
from tests.site.addresses import PUBLISHED, REPOSITORY
from tests.site.built import Page
from tests.test_browser import load, results
from workshop.pages import PAGES, address_of, front_matter

pytestmark = [pytest.mark.slow, pytest.mark.audit]

BASE = urlsplit(PUBLISHED).path

every_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def published(site_url: str) -> str:
    """The address that stands for the published one."""
    return site_url + BASE


@pytest.fixture
def tab(browser: Browser, published: str) -> Iterator[Tab]:
    """A reader's first visit. Fails on what the policy forbids, and on other errors."""
    context = browser.new_context(base_url=published)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(120_000)
    context.add_init_script(FORBIDDEN)
    errors: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} {message.location}")

    context.on("console", listen)
    yield context.new_page()
    context.close()
    assert errors == []


def test_a_crawler_reaches_every_page_and_finds_nothing_missing(published: str):
    """It follows each link, image, script and style from the front page, and each anchor."""
    wanted, seen, anchors = [published], dict[str, set[str]](), list[tuple[str, str]]()
    while wanted:
        url = wanted.pop()
        if url in seen:
            continue
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert answer.url == url  # a host may redirect what names no folder rightly
        soup = BeautifulSoup("", "html.parser")
        if answer.headers["content-type"].startswith("text/html"):
            soup = BeautifulSoup(answer.content, "html.parser")
        seen[url] = {str(tag["id"]) for tag in soup.select("[id]")}
        for tag in soup.select("[href], [src]"):
            link = urljoin(url, str(tag.get("href") or tag.get("src")))
            if link.startswith(PUBLISHED):  # the canonical one
                link = link.replace(PUBLISHED, published)
            page, anchor = urldefrag(link)
            if urlsplit(link).netloc == urlsplit(published).netloc:
                assert link.startswith(published), (url, link)
                wanted.append(page)
                anchors.append((page, unquote(anchor)))
    assert {published + address_of(page)[1:] for page in PAGES} <= seen.keys()
    for page, anchor in anchors:
        assert not anchor or anchor in seen[page], f"{page}#{anchor}"


@pytest.mark.parametrize("path", ["nothing", "recipes/nothing/", "a/b/c/nothing.html"])
def test_what_is_not_there_is_answered_with_a_page_whose_links_lead_back(
    published: str, path: str
):
    answer = client.get(published + path)
    assert answer.status_code == 404
    soup = BeautifulSoup(answer.content, "html.parser")
    links = [str(t.get("href") or t.get("src")) for t in soup.select("[href], [src]")]
    assert len(links) > len(PAGES)
    for link in {urljoin(published + path, link) for link in links}:
        assert link.startswith(published)
        assert client.get(link).status_code == 200, link


@every_page
def test_a_page_names_its_address_and_is_in_the_sitemap(
    site: Path, pages: dict[str, Page], name: str
):
    address = PUBLISHED + address_of(name)[1:]
    canonical = pages[name].soup.select_one("link[rel=canonical]")
    assert canonical
    assert canonical["href"] == address
    assert f"<loc>{address}</loc>" in (site / "sitemap.xml").read_text()


@every_page
def test_who_links_to_a_page_shows_its_title_and_its_figure(
    site: Path, pages: dict[str, Page], name: str
):
    soup = pages[name].soup
    told = {
        str(meta["property"]): str(meta["content"])
        for meta in soup.select("meta[property^='og:']")
    }
    heading = soup.h1
    assert heading
    assert told["og:title"] == heading.get_text().removesuffix("¶")
    assert told["og:description"] == front_matter(name)["description"]
    assert told["og:image"].startswith(PUBLISHED)
    picture = site / told["og:image"].removeprefix(PUBLISHED)
    head = picture.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:]) == (1200, 630)


@every_page
def test_a_page_links_to_its_sources_in_the_repository(
    pages: dict[str, Page], name: str
):
    links = [link for link in pages[name].links if link.startswith(REPOSITORY)]
    assert links[0] == f"{REPOSITORY}/blob/HEAD/docs/{name}.md"
    for link in links:
        kind, _, path = link.removeprefix(f"{REPOSITORY}/").split("/", 2)
        assert (ROOT / path).is_dir() == (kind == "tree")
        assert (ROOT / path).exists()


def test_without_an_address_and_a_repository_no_page_names_one(
    monkeypatch: pytest.MonkeyPatch,
):
    """As `make serve` builds it."""
    for name in ("SITE_URL", "REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    config = load_config(str(ROOT / "mkdocs.yml"))
    assert config.site_url == ""
    assert config.extra["repository"] == ""


def test_the_policy_allows_nothing_inline_but_what_is_in_the_pages(
    published: str, pages: dict[str, Page]
):
    policy = client.get(published).headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; ")
    assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")
    assert "http" not in policy
    inline = {
        script.get_text()
        for page in pages.values()
        for script in page.soup.select("script:not([src], [type])")
    }
    assert len(re.findall("'sha256-", policy)) == len(inline)


def test_search_works_there(tab: Tab):
    load(tab, "")
    results(tab)
    tab.locator(".md-search-result__link").first.click()
    tab.locator("h1").first.wait_for()
    assert urlsplit(tab.url).path.startswith(BASE)


def test_copying_works_there(tab: Tab):
    load(tab, "recipes/webhook/")
    tab.get_by_title("Copy to clipboard").first.click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied == (ROOT / "examples/recipes/webhook.py").read_text()


def test_run_works_there(runtime: None, tab: Tab):
    load(tab, "background-tasks/")
    assert run(tab, scene(tab, "background_tasks/first_task")).calls
