"""What a published site has beside its pages: for machines that read it, link to it, guard it.

- each page as Markdown, ``multiple-tasks/index.md``, and ``llms.txt``, which lists them;
- ``_headers``, a Content-Security-Policy for hosts that read such a file.
"""

import ast
import base64
import hashlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.nav import Navigation
from packaging.utils import canonicalize_name

from runner.needs import needs_of
from runner.process import ROOT
from theme.plain import address, plain
from theme.versions import last_run
from workshop.pages import DOCS, claims_of, examples_of, front_matter, target_of

ALWAYS = ("fastapi", "starlette", "uvicorn")
"""What every example runs on."""

OTHERWISE = {
    "PIL": "pillow",
    "azure": "azure-functions",
    "opentelemetry": "opentelemetry-sdk",
}
"""Packages that have another name than what is imported."""

_SCRIPT = re.compile(r"<script(?![^>]*\b(?:src|type)=)[^>]*>(.*?)</script>", re.DOTALL)


def write_markdown(page: str, site: Path) -> None:
    """Write a page as Markdown beside its HTML."""
    text = plain(page, (DOCS / f"{page}.md").read_text())
    file = site / address(page)
    file.parent.mkdir(parents=True, exist_ok=True)
    foot = run_with(page)
    file.write_text(f"{text}\n---\n\n{foot}\n" if foot else text)


@cache
def run_with(page: str) -> str:
    """What a page's examples were last run with: a sentence; empty if no run is kept."""
    if not (run := last_run()):
        return ""
    files = examples_of(page)
    apart: dict[str, set[str]] = defaultdict(set)  # several queues may have one of each
    for folder in {needs_of(target_of(file)).packages for file in files}:
        for name, version in run.apart.get(folder, {}).items():
            apart[name].add(version)
    # An example may be newer than that run, and so may what it imports.
    asked = packages_of_examples() & run.packages.keys() | apart.keys()
    told = [f"Python {run.programs['Python']}"]
    for name in [*ALWAYS, *sorted(imported_by(files) & asked - {*ALWAYS})]:
        versions = sorted(apart.get(name) or {run.packages[name]})
        told.append(f"{name} {' and '.join(versions)}")
    return f"Run on {run.day} with {', '.join(told)}."


@cache
def packages_of_examples() -> set[str]:
    """The packages that `pyproject.toml` names for the examples."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    return {canonicalize_name(re.split(r"[\[<>=]", n)[0]) for n in groups["examples"]}


def imported_by(files: Iterable[Path]) -> set[str]:
    """What the files import, by the names that pip has for it."""
    modules: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    modules |= {alias.name.partition(".")[0] for alias in names}
                case ast.ImportFrom(module=str(name), level=0):
                    modules.add(name.partition(".")[0])
    return {OTHERWISE.get(module, canonicalize_name(module)) for module in modules}


def sources_of(page: str, repository: str) -> dict[str, str]:
    """Where a page, its examples and its tests are in the repository, by what they are.

    Nothing if the repository has no address.
    """
    if not repository:
        return {}
    claims = claims_of(page)
    found = {"its source": DOCS / f"{page}.md"}
    if examples := examples_of(page):
        alone = len(examples) == 1 and examples[0].parent.name == "recipes"
        found["its examples"] = examples[0] if alone else examples[0].parent
    if claims:
        found["its tests"] = claims
    base = repository.rstrip("/")
    return {
        what: f"{base}/{'tree' if path.is_dir() else 'blob'}/HEAD/"
        f"{path.relative_to(ROOT).as_posix()}"
        for what, path in found.items()
    }


def write_llms_txt(config: MkDocsConfig, nav: Navigation) -> None:
    """Write what llmstxt.org proposes: a list of the pages, below the headings of the nav."""
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    sections: dict[str, list[Any]] = {}
    for item in nav.items:
        if item.is_section:
            sections[item.title] = item.children or []
        else:
            sections.setdefault("Start and end", []).append(item)
    for title, pages in sections.items():
        lines += [f"## {title}", "", *_listed(pages, config.site_url or ""), ""]
    folder = Path(config.site_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "llms.txt").write_text("\n".join(lines))


def _listed(pages: Iterable[Any], site_url: str) -> Iterable[str]:
    for page in filter(lambda each: each.is_page, pages):
        name = page.file.src_uri.removesuffix(".md")
        url, told = (
            urljoin(site_url, address(name)),
            front_matter(name).get("description"),
        )
        yield f"- [{page.title}]({url}): {told}"


def write_headers(site: Path) -> None:
    """Write what a host is to send with everything, as Netlify and Cloudflare Pages read it."""
    lines = [
        "/*",
        f"  Content-Security-Policy: {policy(site)}",
        "  X-Content-Type-Options: nosniff",
        "  Referrer-Policy: strict-origin-when-cross-origin",
    ]
    (site / "_headers").write_text("\n".join(lines) + "\n")


def policy(site: Path) -> str:
    """The strictest Content-Security-Policy under which the built pages do all they do."""
    scripts = {
        script
        for file in site.rglob("*.html")
        for script in _SCRIPT.findall(file.read_text())
    }
    return "; ".join(
        [
            "default-src 'self'",
            # Python, of Run, is WebAssembly; the hashes are of Material's scripts.
            " ".join(
                ["script-src 'self' 'wasm-unsafe-eval'", *sorted(map(_hash, scripts))]
            ),
            "img-src 'self' data:",  # the icons in Material's style
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
