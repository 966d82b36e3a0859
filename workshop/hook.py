"""MkDocs' hook: a page with a mistake fails the build; served, it shows what is wrong.

A site that is built and not served is light: what no page uses of Material's style is dropped,
if purgecss is there, from npm; and it has what a published site needs beside its pages.
"""

import html
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from jinja2 import Environment, FileSystemBytecodeCache
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import BuildError
from mkdocs.plugins import CombinedEvent, event_priority
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from runner.process import ROOT
from theme.fences import Missing
from workshop.mistakes import Mistake, mistakes_of, mistakes_of_nav
from workshop.pages import PAGES
from workshop.publishing import (
    run_with,
    sources_of,
    write_headers,
    write_llms_txt,
    write_markdown,
)

SERVING = "serving"
"""In the configuration's `extra`, where a writer looks at the site: a folder for what is kept
from one build to the next."""

PURGECSS = ROOT / "node_modules/purgecss/bin/purgecss.js"
_log = logging.getLogger("mkdocs")
_NOT_SEARCHED = re.compile(
    r"<div data-search-exclude>.*?</div>(?=</details>)", re.DOTALL
)
"""The test that is folded under a claim."""
_SPACE = re.compile(r"<(pre|script|textarea)\b.*?</\1>|\s*\n\s*", re.DOTALL)
"""Space around the end of a line, and what space belongs to, as its first group."""
_COMMENT = re.compile(r"\s*/\*.*?\*/", re.DOTALL)


def on_pre_build(config: MkDocsConfig, **_: Any) -> None:
    """Log all mistakes. Raises `BuildError` if there are any, unless serving."""
    if config.extra.get(SERVING):
        _log_all(mistakes_of_nav())
        return
    found = {*mistakes_of_nav(), *(m for page in PAGES for m in mistakes_of(page))}
    if found:
        _log_all(sorted(found))
        raise BuildError(f"{len(found)} to mend, see above")


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, **_: Any
) -> str | None:
    """Serving, say on top of a page what is wrong in it, and in place of what cannot be shown."""
    if not config.extra.get(SERVING):
        return None
    if not (found := mistakes_of(page.file.src_uri.removesuffix(".md"))):
        return None
    _log_all(found)
    lines = markdown.splitlines()
    above = len(page.file.content_string.splitlines()) - len(lines)
    blocks = groupby((each for each in found if each.block[0]), lambda each: each.block)
    for (first, last), wrong in reversed([(b, [*each]) for b, each in blocks]):
        lines[first - above - 1 : last - above] = ["", _told(wrong), ""]
    return "\n".join([_told(found), "", *lines])


def on_env(env: Environment, config: MkDocsConfig, **_: Any) -> None:
    """Serving, keep compiled templates: they are half of what one page takes."""
    if kept := config.extra.get(SERVING):
        env.bytecode_cache = FileSystemBytecodeCache(kept)


def on_nav(nav: Navigation, config: MkDocsConfig, **_: Any) -> None:
    """Write the list of all pages."""
    write_llms_txt(config, nav)


@event_priority(100)
def _set_aside(context: dict[str, Any], page: Page, **_: Any) -> None:
    """Keep the search from reading, element by element, the code that it is to leave out."""
    context["whole"] = page.content
    page.content = _NOT_SEARCHED.sub("", page.content or "")


@event_priority(-100)
def _fill_in(
    context: dict[str, Any], page: Page, config: MkDocsConfig, **_: Any
) -> None:
    """Write the page as Markdown, and give its template what stands in head and foot."""
    page.content = context.pop("whole")
    name = page.file.src_uri.removesuffix(".md")
    context["foot"] = {
        "run_with": run_with(name),
        "sources": sources_of(name, config.extra["repository"]),
    }
    with suppress(Missing):  # is said where the page is read
        write_markdown(name, Path(config.site_dir))
    if page.canonical_url:
        heading = page.toc.items[0].title if page.toc.items else page.title
        context["heading"] = html.unescape(str(heading))
        context["picture"] = urljoin(page.canonical_url, "figure.png")


on_page_context = CombinedEvent(_set_aside, _fill_in)


def on_post_template(output_content: str, **_: Any) -> str:
    """The page of what is not found is made as others are."""
    return on_post_page(output_content)


def on_post_page(output: str, **_: Any) -> str:
    """Leave out the space that templates have between elements."""
    return _SPACE.sub(lambda found: found[0] if found[1] else "\n", output)


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Drop the style that no page uses and the comments of ours; write what guards the site.

    Raises `CalledProcessError` if the first fails.
    """
    if config.extra.get(SERVING):
        return
    places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=places)
    if node and PURGECSS.exists():
        used = ROOT / "theme/purge.cjs"
        subprocess.run(
            [node, PURGECSS, "--config", used], cwd=config.site_dir, check=True
        )
    style = Path(config.site_dir, "assets/site.css")
    style.write_text(_COMMENT.sub("", style.read_text()))
    write_headers(Path(config.site_dir))


def _log_all(found: Iterable[Mistake]) -> None:
    for mistake in found:
        _log.error(str(mistake))


def _told(wrong: Iterable[Mistake]) -> str:
    each = "<br>".join(html.escape(str(m)).replace("\n", "<br>") for m in wrong)
    return f'<div class="admonition failure"><p>{each}</p></div>'
