"""The site is built quickly, and with Zensical too."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runner.process import ROOT
from tests.site.built import Page, pages_of

pytestmark = [pytest.mark.slow, pytest.mark.audit]


def test_the_site_is_built_while_python_could_parse_argparse_500_times(site: Path):
    """It was 220 to 340 times, idle and busy: five seconds of a quick machine."""
    assert float(site.with_suffix(".units").read_text()) < 500


def test_zensical_builds_the_same_pages_and_none_has_run_without_its_runtime(
    copy: Path, pages: dict[str, Page]
):
    result = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean"],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    theirs = pages_of(copy / "site")
    assert theirs["index"].soup.select("svg.timeline")
    for page in theirs.values():  # a copy has no runtime
        assert not page.soup.find("run-scene")
    for name, ours in pages.items():
        assert theirs[name].blocks == ours.blocks
        assert [p["id"] for p in theirs[name].soup.select(".proof")] == [
            p["id"] for p in ours.soup.select(".proof")
        ]


def test_a_style_is_published_without_its_comments(site: Path):
    style = (site / "assets/site.css").read_text()
    assert "--md-code-font" in style
    assert "/*" not in style


def test_the_site_is_served_with_what_make_serve_installs():
    """What it imports is in the groups `site` and `examples`, or needed by what is."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = [(line, {""}) for line in [*groups["site"], *groups["examples"]]]
    installed: set[str] = set()
    while wanted:
        line, extras = wanted.pop()
        needed = Requirement(line)
        marker, name = needed.marker, canonicalize_name(needed.name)
        if marker and not any(marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if name not in installed or needed.extras:
            installed.add(name)
            more = {"", *needed.extras}
            wanted += [(line, more) for line in requires(name) or []]
    code = "import sys, workshop.building, workshop.serving; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    files = [ROOT / f"{name.replace('.', '/')}.py" for name in loaded.split()]
    of_module = packages_distributions()
    for file in filter(Path.is_file, files):
        for module in imported(file) & {*of_module}:
            names = {canonicalize_name(name) for name in of_module[module]}
            assert names & installed, (file, module)


def imported(file: Path) -> set[str]:
    """The first words of the names of all modules that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found
