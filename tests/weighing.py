"""Weighs pages against each other, so that each search of a page's front matter finds it.

``python -m tests.weighing`` builds the site, asks its search for everything that the front
matters list, and writes ``search: boost`` where words alone do not decide: the smallest
changes that set all of them right. Material multiplies what it finds in a page by its boost.
"""

import math
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.site.building import build, open_browser, serve_static
from workshop.pages import DOCS, PAGES, front_matter

MARGIN = 0.03
"""By how much, as a logarithm, the right page is to be ahead."""

ROUNDS = 4_000
"""After so many it is given up: two searches contradict each other."""

_LISTENS = """
const Real = Worker
window.asked = 0
window.found = []
window.Worker = class extends Real {
  constructor(...parts) {
    super(...parts)
    this.addEventListener("message", event => {
      if (event.data.type === 3) window.found.push(event.data.data.items)
    })
  }
  postMessage(message) {
    if (message.type === 2) window.asked += 1
    super.postMessage(message)
  }
}
"""


def scores_of(tab: Page, words: str) -> dict[str, float]:
    """How well each page found fits these words, its boost left out."""
    box = tab.get_by_role("textbox", name="Search")
    for typed in ("", words):
        before = tab.evaluate("asked")
        box.fill(typed)
        box.press("End")
        tab.wait_for_function(
            "before => asked > before && found.length === asked", arg=before
        )
    scores: dict[str, float] = {}
    for documents in tab.evaluate("found.at(-1)"):
        for document in documents:
            page = urlsplit(document["location"]).path.strip("/") or "index"
            score = document["score"] / boost_of(page)
            scores[page] = max(score, scores.get(page, 0.0))
    return scores


@cache
def boost_of(page: str) -> float:
    """The weight of a page now."""
    return float(front_matter(page).get("search", {}).get("boost", 1))


def rivals() -> Iterator[tuple[str, str, str, float]]:
    """Words, their page, another page found, and how far that is ahead without boosts."""
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        with serve_static(Path(folder)) as server, open_browser() as browser:
            tab = browser.new_page(base_url=server.url)
            tab.set_default_timeout(120_000)
            tab.add_init_script(_LISTENS)
            tab.goto("/")
            for page in PAGES:
                for words in front_matter(page).get("searches", []):
                    scores = scores_of(tab, words)
                    if page not in scores:
                        sys.exit(f"docs/{page}.md: {words!r} does not find it at all")
                    for other, score in scores.items():
                        if other != page:
                            yield words, page, other, math.log(score / scores[page])


def weights(known: list[tuple[str, str, str, float]]) -> dict[str, float]:
    """The logarithm of each page's boost: moved from 0 only where a search is wrong."""
    weight = dict.fromkeys(PAGES, 0.0)
    for _ in range(ROUNDS):
        worst, page, other = max(
            (ahead + MARGIN + weight[other] - weight[page], page, other)
            for _, page, other, ahead in known
        )
        if worst <= 0.01:
            return weight
        weight[page] += worst / 2
        weight[other] -= worst / 2
    sys.exit("these contradict each other:\n" + "\n".join(circle(known)))


def circle(known: list[tuple[str, str, str, float]]) -> Iterator[str]:
    """Searches of which each puts its page above the next, and the last above the first."""
    weight = dict.fromkeys(PAGES, 0.0)
    above: dict[str, tuple[str, str]] = {}
    page = ""
    for _ in PAGES:
        for words, of, other, ahead in known:
            if (least := weight[other] + ahead + MARGIN) > weight[of] + 0.01:
                weight[of], above[of], page = least, (other, words), of
    for _ in PAGES:  # from anywhere into the circle
        page = above[page][0]
    first = page
    while True:
        other, words = above[page]
        yield f"docs/{page}.md: {words!r}, found above {other}"
        if (page := other) == first:
            return


def write(page: str, boost: float) -> None:
    """Write a page's boost into its front matter, or take it out if it is 1."""
    file = DOCS / f"{page}.md"
    text = re.sub(r"\A---\nsearch:\n  boost: .*\n", "---\n", file.read_text())
    if boost != 1:
        text = text.replace("---\n", f"---\nsearch:\n  boost: {boost:g}\n", 1)
    file.write_text(text)


if __name__ == "__main__":
    for page, weight in weights(list(rivals())).items():
        boost = round(math.exp(weight), 2)
        if boost != boost_of(page):
            print(f"docs/{page}.md: {boost_of(page):g} → {boost:g}")
            write(page, boost)
