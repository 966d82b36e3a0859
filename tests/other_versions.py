"""Runs the suite with other versions than the pinned ones, and says per page what does not hold.

``python -m tests.other_versions newest|prereleases|lowest "WITH" [pytest's arguments]``; WITH is
what is installed over the rest, such as ``fastapi==0.115.0``. Ends with pytest's exit code.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runner.process import ROOT
from runner.scenes import SCENES
from theme.fences import Missing
from theme.proof import find
from workshop.pages import DOCS, EXAMPLES, PAGES, claims_of, page_of

GROUPS = ("site", "examples", "tests")
APART = ROOT / ".cache/newest"
"""Where the newest of the queues are that have an environment of their own."""
PRERELEASES = ("fastapi", "starlette")
ELSEWHERE = "of no page"


@dataclass(frozen=True)
class Wrong:
    """Something that does not hold: of which page, what it is, and what was seen instead."""

    page: str
    what: str
    why: str


def wanted() -> dict[str, Requirement]:
    """What `pyproject.toml` asks for, by name."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = [
        line for group in GROUPS for line in groups[group] if isinstance(line, str)
    ]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in found}


def lower_bounds() -> list[str]:
    """The oldest release of each that is allowed, as constraints for pip."""
    return [
        f"{name}=={bound.version}"
        for name, requirement in wanted().items()
        for bound in requirement.specifier
        if bound.operator == ">="
    ]


def make_environment(kind: str, extra: list[str]) -> Path:
    """Install into a folder of its own beside ``.venv``; return its Python."""
    folder = ROOT / f".venv-{kind}"
    subprocess.check_call([sys.executable, "-m", "venv", "--clear", folder])
    python = folder / "bin/python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.check_call([*pip, "--upgrade", "pip"])
    options = [option for group in GROUPS for option in ("--group", group)]
    if kind == "lowest":
        bounds = ROOT / ".cache/lowest.txt"
        bounds.write_text("\n".join(lower_bounds()) + "\n")
        options += ["--constraint", str(bounds)]
    subprocess.check_call([*pip, *options], cwd=ROOT)
    if kind == "prereleases":
        subprocess.check_call([*pip, "--upgrade", "--pre", *PRERELEASES])
    if kind != "lowest":
        for file in ROOT.glob("examples/*/requirements.txt"):
            target = APART / file.parent.name
            shutil.rmtree(target, ignore_errors=True)
            names = re.findall(r"^[\w.-]+", file.read_text(), re.MULTILINE)
            subprocess.check_call([*pip, "--target", target, *names])
    if extra:
        subprocess.check_call([*pip, *extra])
    return python


def other_than_pinned(python: Path) -> list[str]:
    """What is installed there in another version than `constraints.txt` names."""
    pinned = dict(_versions((ROOT / "constraints.txt").read_text()))
    command = [python, "-m", "pip", "list", "--format=freeze"]
    there = _versions(subprocess.check_output(command, text=True))
    found = [
        f"{name} {version} ({pinned.get(name, 'not')} pinned)"
        for name, version in there
        if pinned.get(name) != version and name not in ("pip", "setuptools")
    ]
    return sorted(found, key=lambda line: line.split()[0] not in wanted())


def _versions(freeze: str) -> Iterator[tuple[str, str]]:
    for line in freeze.splitlines():
        name, _, version = line.partition("==")
        yield canonicalize_name(name), version


def wrong_in(report: Path) -> list[Wrong]:
    """What has failed, from pytest's report in JUnit's XML, of the kind `xunit1`."""
    return [
        _told(case, bad)
        for case in ElementTree.parse(report).iter("testcase")
        if (bad := next((b for b in case if b.tag in ("failure", "error")), None))
        is not None
    ]


def _told(case: ElementTree.Element, bad: ElementTree.Element) -> Wrong:
    file, name = case.get("file") or "", case.get("name") or ""
    why = (bad.get("message") or "").strip().splitlines() or [""]
    first = re.sub(r"^(AssertionError|[\w.]*\.ServerError): ", "", why[0])
    return Wrong(*_named(file, name), first)


def _named(file: str, name: str) -> tuple[str, str]:
    """The page that a test concerns, and what it tests, in words."""
    if file.endswith(".md"):
        within = Path(file).is_relative_to("docs")
        page = Path(file).relative_to("docs") if within else Path(file)
        line = re.search(r"line:(\d+)", name)
        return str(page.with_suffix("")), f"session, line {line[1] if line else '?'}"
    parameter = re.search(r"\[(.*)\]", name)
    of = parameter[1] if parameter else ""
    if of in SCENES:
        return page_of(SCENES[of].example), f"figure {of}"
    for page in PAGES:
        if claims_of(page) == ROOT / file:
            return page, f"claim: {_statement(file, name)}"
        if of.strip("/") == page:
            return page, f"{file}::{name}"
    for example in EXAMPLES.rglob("*.py"):
        path = example.relative_to(EXAMPLES).with_suffix("").as_posix()
        if of in (path, f"{path}.py", str(example)):
            return page_of(path), f"example {path}.py: {name}"
    return ELSEWHERE, f"{file}::{name}"


def _statement(file: str, name: str) -> str:
    node = f"{file}::{name.partition('[')[0]}"
    try:
        statement = find(node)[1]
    except Missing:  # without words for the reader
        return node
    return f"{statement} ({file}::{name})"


def told(wrong: list[Wrong], versions: list[str]) -> str:
    """The report: under which versions, and below each page what does not hold."""
    lines = ["other versions than the pinned ones:"]
    lines += [f"  {line}" for line in versions or ["none"]]
    pages: dict[str, list[Wrong]] = defaultdict(list)
    for each in wrong:
        pages[each.page].append(each)
    for page in sorted(pages, key=lambda page: (page == ELSEWHERE, page)):
        file = DOCS / f"{page}.md"
        lines.append(file.relative_to(ROOT).as_posix() if file.exists() else page)
        for each in pages[page]:
            lines += [f"  {each.what}", f"    {each.why}"]
    lines.append(f"{len(wrong)} do not hold" if wrong else "all of it holds")
    return "\n".join(lines)


def main(kind: str, extra: str, arguments: list[str]) -> int:
    """Make the environment, run the suite in it, and print the report last."""
    python = make_environment(kind, extra.split())
    report = ROOT / f".cache/{kind}.xml"
    report.unlink(missing_ok=True)
    options = [f"--junitxml={report}", "--override-ini=junit_family=xunit1"]
    options += ["-m", "queues or not queues"]
    apart = {} if kind == "lowest" else {"APART": str(APART)}
    code = subprocess.call(
        [python, "-m", "pytest", *options, *arguments],
        cwd=ROOT,
        env={**os.environ, **apart},
    )
    if report.exists():
        print(told(wrong_in(report), other_than_pinned(python)))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
