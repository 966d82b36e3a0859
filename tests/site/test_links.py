"""Every internal link, anchor and image leads somewhere; nothing loads from elsewhere."""

from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from workshop.mistakes import anchors
from workshop.pages import DOCS, PAGES

pytestmark = pytest.mark.every_page

HOST = "site.invalid"


def target(site: Path, url: str) -> Path:
    """The file that a static host answers with."""
    file = site / unquote(urlsplit(url).path).lstrip("/")
    return file / "index.html" if file.is_dir() else file


def test_links_anchors_and_loads_resolve_on_this_host(site, pages):
    ids = {page.file: page.ids for page in pages}
    for page in pages:
        here = f"http://{HOST}{page.path}"
        for kind, urls in (("link", page.links), ("load", page.loads)):
            for url in urls:
                whole = urlsplit(urljoin(here, url))
                if whole.netloc != HOST:
                    assert kind == "link", (page, f"loads {url}")
                    continue
                file = target(site, whole.geturl())
                assert file.is_file(), (page, kind, url)
                if whole.fragment and file in ids:
                    assert unquote(whole.fragment) in ids[file], (page, url)


def test_reading_a_page_finds_the_ids_that_it_has_when_built(pages):
    """So that a link to one that is not there is found before the site is built."""
    ids = {page.path: page.ids for page in pages}
    for name in PAGES:
        found = anchors((DOCS / f"{name}.md").read_text())
        assert found <= ids[f"/{name}/".replace("/index/", "/")], name


def test_every_id_of_a_page_is_there_once(pages):
    for page in pages:
        all_ids = [tag["id"] for tag in page.soup.find_all(id=True)]
        assert len(all_ids) == len(set(all_ids)), page
