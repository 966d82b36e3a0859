"""Every internal link, anchor and image leads somewhere; nothing loads from elsewhere."""

from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from button.hints import RULES
from tests.site.addresses import PUBLISHED
from workshop.mistakes import anchors
from workshop.pages import DOCS, PAGES

every_page = pytest.mark.parametrize("name", [*PAGES, "404"])

HOST = urlsplit(PUBLISHED).netloc


def target(site: Path, url: str) -> Path:
    """The file that a static host answers with, at the root or where it is published."""
    path = unquote(urlsplit(url).path).removeprefix(urlsplit(PUBLISHED).path)
    file = site / path.lstrip("/")
    return file / "index.html" if file.is_dir() else file


@every_page
def test_links_anchors_and_loads_resolve_on_this_host(site, pages, name: str):
    page = pages[name]
    by_file = {other.file: other for other in pages.values()}
    for kind, urls in (("link", page.links), ("load", page.loads)):
        for url in urls:
            whole = urlsplit(urljoin(f"http://{HOST}{page.path}", url))
            if whole.netloc != HOST:
                assert kind == "link", f"loads {url}"
                continue
            file = target(site, whole.geturl())
            assert file.is_file(), (kind, url)
            if whole.fragment and file in by_file:
                assert unquote(whole.fragment) in by_file[file].ids, url


@pytest.mark.parametrize("name", PAGES)
def test_reading_a_page_finds_the_ids_that_it_has_when_built(pages, name: str):
    """So that a link to one that is not there is found before the site is built."""
    assert anchors((DOCS / f"{name}.md").read_text()) <= pages[name].ids


@every_page
def test_every_id_of_a_page_is_there_once(pages, name: str):
    ids = [tag["id"] for tag in pages[name].soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", sorted({rule.page.split("/#")[0] for rule in RULES}))
def test_what_a_hint_leads_to_is_there(pages, name: str):
    for rule in RULES:
        page, anchor = rule.page.split("/#")
        assert page != name or anchor in pages[name].ids
