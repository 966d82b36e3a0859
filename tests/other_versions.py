"""Runs the suite with other versions than the pinned ones, and says per page what does not hold.

``python -m tests.other_versions newest|prereleases|lowest "WITH" [pytest's arguments]``; WITH is
what is installed over the rest, such as ``fastapi==0.115.0``. Ends with pytest's exit code.

``upgraded`` in place of these is for pins that have been moved: the suite in this
environment, and a report that names what the last commit had pinned. ``pins`` moves
those that are beside the examples.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from runner.process import ROOT
from runner.scenes import SCENES
from theme.fences import Missing
from theme.proof import find
from workshop.pages import DOCS, EXAMPLES, PAGES, address_of, claims_of, page_of

GROUPS = ("site", "examples", "tests")
APART = ROOT / ".cache/newest"
"""Where the newest of the queues are that have an environment of their own."""
PRERELEASES = ("fastapi", "starlette")
ELSEWHERE = "of no page"
CONSTRAINTS = ROOT / "constraints.txt"
PINS_APART = sorted(ROOT.glob("examples/*/requirements.txt"))


@dataclass(frozen=True)
class Wrong:
    """Something that does not hold: of which page, what it is, and what was seen instead."""

    page: str
    what: str
    why: str


def wanted(chosen: Iterable[str] = GROUPS) -> dict[str, Requirement]:
    """What `pyproject.toml` asks for in those groups, by name."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    lines = [line for group in chosen for line in groups[group]]
    found = [Requirement(line) for line in lines if isinstance(line, str)]
    return {canonicalize_name(each.name): each for each in found}


def lower_bounds() -> list[str]:
    """The oldest release of each that is allowed, as constraints for pip.

    Not of the tests' own tools: an old linter says nothing about a page.
    """
    return [
        f"{name}=={bound.version}"
        for name, requirement in wanted(GROUPS[:2]).items()
        for bound in requirement.specifier
        if bound.operator == ">="
    ]


def make_environment(kind: str, extra: list[str]) -> Path:
    """Install into a folder of its own beside ``.venv``; return its Python.

    Raises `SystemExit` with what pip says if that cannot be.
    """
    folder = ROOT / f".venv-{kind}"
    python = folder / "bin/python"
    subprocess.check_call([sys.executable, "-m", "venv", "--clear", folder])
    install = partial(_install, python)
    install("--upgrade", "pip")
    groups = [option for group in GROUPS for option in ("--group", group)]
    if kind == "lowest":
        bounds = ROOT / ".cache/lowest.txt"
        bounds.write_text("\n".join(lower_bounds()) + "\n")
        install(*groups, "--constraint", str(bounds))
    else:
        install(*groups)
        for file in PINS_APART:
            _install_newest(python, file)
    if kind == "prereleases":
        install("--upgrade", "--pre", *PRERELEASES)
    if extra:
        install(*extra)
    return python


def _install(python: Path, *what: str) -> None:
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    ended = subprocess.run([*command, *what], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(ended.stderr)


def _install_newest(python: Path, pins: Path) -> None:
    """Install the newest of what is pinned in a file beside examples, apart."""
    target = APART / pins.parent.name
    shutil.rmtree(target, ignore_errors=True)
    names = (name for name, _ in _versions(pins.read_text()))
    _install(python, "--target", str(target), *names)


def move_pins_apart() -> None:
    """Pin the newest of what is pinned beside examples, and what that needs besides.

    What ``constraints.txt`` pins in the same version is not pinned there again.
    """
    python = Path(sys.executable)
    elsewhere = dict(_versions(CONSTRAINTS.read_text()))
    for file in PINS_APART:
        _install_newest(python, file)
        there = _installed(python, "--path", str(APART / file.parent.name))
        lines = [
            f"{name}=={version}\n"
            for name, version in sorted(there.items())
            if elsewhere.get(name) != version
        ]
        file.write_text("".join(lines))


def other_than_pinned(
    python: Path, apart: Path | None, pinned: Callable[[Path], str] = Path.read_text
) -> list[str]:
    """What is installed there in another version than is pinned; that of queues is `apart`.

    `pinned` reads a file with pins.
    """
    found = _other(_installed(python), pinned(CONSTRAINTS))
    found.sort(key=lambda line: line.split()[0] not in wanted())
    for file in PINS_APART if apart else []:
        name = file.parent.name
        lines = _other(_installed(python, "--path", f"{apart}/{name}"), pinned(file))
        found += [f"{line}, of {name}" for line in lines if "(not" not in line]
    return found


def _last_commit(file: Path) -> str:
    named = f"HEAD:{file.relative_to(ROOT).as_posix()}"
    return subprocess.check_output(["git", "show", named], cwd=ROOT, text=True)


def _installed(python: Path, *options: str) -> dict[str, str]:
    command = [str(python), "-m", "pip", "list", "--format=freeze", *options]
    return dict(_versions(subprocess.check_output(command, text=True)))


def _other(installed: Mapping[str, str], pins: str) -> list[str]:
    pinned = dict(_versions(pins))
    return [
        f"{name} {version} ({pinned.get(name, 'not')} pinned)"
        for name, version in installed.items()
        if pinned.get(name) != version and name not in ("pip", "setuptools")
    ]


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
    lines = (bad.get("message") or "").strip().splitlines() or [""]
    why = re.sub(r"^(AssertionError|[\w.]*\.ServerError): ", "", lines[0])
    if why.endswith(" but"):  # and what came instead is below
        came = re.findall(r"^E +(\S.*)", bad.text or "", re.MULTILINE)
        why += f" … {came[-1]}" if came else " something else"
    return Wrong(*_named(file, name), why)


def _named(file: str, name: str) -> tuple[str, str]:
    """The page that a test concerns, and what it tests, in words."""
    if file.endswith(".md"):
        source = file.removeprefix("docs/").removesuffix(".md")
        line = re.search(r"line:(\d+)", name)
        return source, f"session, line {line[1] if line else '?'}"
    parameter = re.search(r"\[(.*)\]", name)
    of = parameter[1] if parameter else ""
    if of in SCENES:
        return page_of(SCENES[of].example), f"figure {of}"
    for page in PAGES:
        if claims_of(page) == ROOT / file:
            return page, f"claim: {_statement(file, name)}"
        if of in (page, address_of(page)):
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
    return f"{statement} ({node})"


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
        for what in dict.fromkeys(each.what for each in pages[page]):
            reasons = dict.fromkeys(e.why for e in pages[page] if e.what == what)
            lines += [f"  {what}", *(f"    {why}" for why in reasons)]
    lines.append(f"{len(wrong)} do not hold" if wrong else "all that was run holds")
    return "\n".join(lines)


def main(kind: str, extra: str, arguments: list[str]) -> int:
    """Make the environment, run the suite in it, and print the report last."""
    pinned: Callable[[Path], str] = Path.read_text
    apart: Path | None = None
    if kind == "upgraded":
        python, apart, pinned = Path(sys.executable), ROOT / ".cache", _last_commit
    else:
        print(f"installing into .venv-{kind}", flush=True)
        python = make_environment(kind, extra.split())
        apart = APART if kind != "lowest" else None
    report = ROOT / f".cache/{kind}.xml"
    report.unlink(missing_ok=True)
    options = [f"--junitxml={report}", "--override-ini=junit_family=xunit1"]
    options += ["-m", "not browsers"]
    code = subprocess.call(
        [python, "-m", "pytest", *options, *arguments],
        cwd=ROOT,
        env={**os.environ, **({"APART": str(apart)} if apart == APART else {})},
    )
    if not report.exists():
        print(f"pytest ended with {code} and wrote no report: see above")
    else:
        versions = other_than_pinned(python, apart, pinned)
        print(told(wrong_in(report), versions))
    return code


if __name__ == "__main__":
    if sys.argv[1:] == ["pins"]:
        move_pins_apart()
    else:
        sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
