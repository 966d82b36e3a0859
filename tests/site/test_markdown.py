"""Each page as Markdown, and the list of them: nothing missing, nothing left over."""

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.site.addresses import PUBLISHED
from tests.site.built import Page
from theme.plain import address, plain
from theme.source import LANGUAGES
from workshop.mistakes import anchors
from workshop.pages import DOCS, PAGES, front_matter, nav

pytestmark = pytest.mark.slow

every_page = pytest.mark.parametrize("name", PAGES)

FENCE = re.compile(r"^```.*?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def words(html: str) -> list[str]:
    return re.findall(r"\w+", html)


@every_page
def test_the_markdown_says_what_the_page_says(
    site: Path, pages: dict[str, Page], name: str
):
    text = (site / address(name)).read_text()
    article = pages[name].soup.article
    assert article
    assert text.startswith("# ")
    for heading in article.select("h1, h2, h3"):
        title = heading.get_text().removesuffix("¶").strip()
        assert title in [
            re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", line).lstrip("# ")
            for line in text.splitlines()
            if line.startswith("#")
        ]
    for proof in article.select("details.proof"):
        assert f"::{proof['id']}`)" in text
        statement = proof.find("summary")
        assert statement
        assert words(statement.get_text()) == words(
            re.sub(
                "`", "", text.partition(f"::{proof['id']}`)")[0].rpartition("\n- ")[2]
            ).rpartition("(")[0]
        )
    blocks = [block.rstrip() for block in FENCE.findall(text)]
    for block in pages[name].blocks:
        if block.language == "console" or "::" in block.title:
            continue
        added = [line for line in block.text.splitlines() if line.strip()]
        assert block.text.rstrip() in blocks or any(
            set(added)
            >= {
                line[1:]
                for line in diff.splitlines()[2:]
                if line[:1] == "+" and line[1:].strip()
            }
            for diff in blocks
            if diff.startswith("--- ")
        ), block.title
    for figure in article.select("svg[aria-label]"):
        assert str(figure["aria-label"]) in text


@every_page
def test_a_session_is_in_the_markdown_as_it_is_in_the_page(
    site: Path, pages: dict[str, Page], name: str
):
    text = (site / address(name)).read_text()
    shown = [b.text.rstrip("\n") for b in pages[name].blocks if b.language == "console"]
    blocks = [block.rstrip("\n") for block in FENCE.findall(text)]
    assert [block for block in shown if block not in blocks] == []


@every_page
def test_nothing_of_html_or_of_this_projects_fences_is_left(site: Path, name: str):
    text = (site / address(name)).read_text()
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    assert not re.search(r"</?[a-z][^>]*>|^///|^!!!|^```|\{[#:.]", prose, re.MULTILINE)
    for fence in re.findall(r"^```(\w+)", text, re.MULTILINE):
        assert fence in ("console", "diff", *LANGUAGES.values())


@every_page
def test_links_of_the_markdown_lead_to_files_and_anchors(site: Path, name: str):
    text = FENCE.sub("", (site / address(name)).read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        whole = urlsplit(urljoin(f"https://site.invalid/{address(name)}", link))
        if whole.netloc != "site.invalid":
            continue
        file = site / whole.path.lstrip("/")
        assert file.suffix == ".md", link
        assert file.is_file(), link
        if whole.fragment:
            page = whole.path.strip("/").removesuffix("index.md").strip("/") or "index"
            there = (DOCS / f"{page}.md").read_text()
            ids = {*anchors(there), *re.findall(r' id="([^"]+)"', there)}
            assert whole.fragment in ids, link


@every_page
def test_a_page_says_what_it_was_run_with_and_links_to_its_markdown(
    site: Path, pages: dict[str, Page], name: str
):
    foot = pages[name].soup.select("article > p > small")[-1]
    told = re.search(
        r"Run on \d+ \w+ \d{4} with .*?\d\.", " ".join(foot.stripped_strings)
    )
    assert told
    assert "index.md" in [a["href"] for a in foot.select("a")]
    assert (site / address(name)).read_text().splitlines()[-1].startswith(told[0][:40])


def test_llms_txt_lists_each_page_once_with_what_it_answers(site: Path):
    listed = re.findall(
        r"^- \[.+\]\((\S+)\): (.+)$", (site / "llms.txt").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(
        (PUBLISHED + address(page), front_matter(page)["description"]) for page in nav()
    )


def test_what_only_html_can_show_is_told():
    text = (
        '---\ndescription: x\n---\n\n# A\n\n<div class="first" markdown>\n\n'
        'On the <span class="event-loop">event loop</span>, '
        '<a id="old" href="../b/#c">there</a>, [here](d.md#e).\n\n</div>\n\n'
        '!!! post "The post says"\n    “Words.”\n\n    More.\n\nAfter.\n\n'
        "/// details | In a terminal\n```console\n$ ls\n\n\n\n<b>\n```\n///\n"
    )
    assert plain("recipes/a", text) == (
        "# A\n\nOn the event loop, [there](../b/index.md#c), [here](../d/index.md#e).\n\n"
        "> **The post says**\n>\n> “Words.”\n>\n> More.\n\nAfter.\n\n"
        "```console\n$ ls\n\n\n\n<b>\n```\n"
    )
