"""What a built page holds: its code blocks, ids, links and loads."""

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bs4 import BeautifulSoup


@dataclass(frozen=True)
class Block:
    """A code block: its language, its title, and its text, all of it and as it is copied."""

    language: str
    title: str
    text: str


class Page:
    """One HTML file of the built site."""

    def __init__(self, file: Path, site: Path) -> None:
        self.file = file
        self.path = "/" + file.relative_to(site).as_posix().removesuffix("index.html")

    def __repr__(self) -> str:
        return self.path

    @cached_property
    def soup(self) -> BeautifulSoup:
        """Its elements."""
        return BeautifulSoup(self.file.read_text(), "html.parser")

    @cached_property
    def ids(self) -> set[str]:
        """Everything that a link can point to."""
        return {str(tag["id"]) for tag in self.soup.find_all(id=True)}

    @cached_property
    def links(self) -> list[str]:
        """Where a reader can go."""
        return [str(tag["href"]) for tag in self.soup.find_all("a", href=True)]

    @cached_property
    def loads(self) -> list[str]:
        """What a browser loads without being asked."""
        hrefs = self.soup.select("link[href]:not([rel=prev], [rel=next])")
        sources = self.soup.select("[src]")
        return [str(t["href"]) for t in hrefs] + [str(t["src"]) for t in sources]

    @cached_property
    def blocks(self) -> list[Block]:
        """The code blocks in the order of the page, those of proofs included."""
        found = []
        for div in self.soup.select("div.highlight"):
            language = next(c for c in div["class"] if c.startswith("language-"))
            title = div.find(class_="filename")
            code = copy(div.find("code"))
            assert code is not None
            for gone in code.find_all("del"):
                gone.decompose()
            found.append(
                Block(
                    language.removeprefix("language-"),
                    title.get_text() if title else "",
                    code.get_text(),
                )
            )
        return found


def pages_of(site: Path) -> dict[str, Page]:
    """All pages of a built site by their names, ``404`` included."""
    pages = [Page(file, site) for file in sorted(site.rglob("*.html"))]
    return {
        page.path.strip("/").removesuffix(".html") or "index": page for page in pages
    }
