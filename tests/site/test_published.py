"""What is published is what the tests ran."""

import ast
import textwrap
from pathlib import Path

import pytest

from runner.process import ROOT
from runner.scenes import SCENES
from tests.site.built import Page
from theme.source import LANGUAGES
from workshop.pages import EXAMPLES, PAGES, TESTS, claims_of, page_of

every_page = pytest.mark.parametrize("name", [*PAGES, "404"])

FILES = sorted(
    file
    for file in EXAMPLES.rglob("*.*")
    if file.suffix in LANGUAGES and file.name != "__init__.py"
)
SOURCES = {
    file: file.read_text().splitlines()
    for file in [*FILES, *sorted(TESTS.rglob("test_*.py"))]
}


def is_a_run_of_lines_of(code: str, file: Path) -> bool:
    """Whether the lines of `code`, indented or not, stand together in `file`."""
    wanted = code.splitlines()
    lines = SOURCES[file]
    return any(
        line.strip() == wanted[0].strip()
        and textwrap.dedent("\n".join(lines[i : i + len(wanted)])).splitlines()
        == wanted
        for i, line in enumerate(lines)
    )


@every_page
def test_every_block_is_python_from_a_tested_file_or_a_session(pages, name: str):
    for block in pages[name].blocks:
        assert block.language in ("console", *LANGUAGES.values()), block
        if block.language != "console":
            for part in block.text.strip("\n").split("\n\n\n"):
                assert part.strip(), "an empty block"
                assert any(is_a_run_of_lines_of(part, f) for f in SOURCES), part


def files_of(page: Page) -> dict[str, str]:
    """What the page shows of whole files, by their names."""
    blocks = [block for block in page.blocks if block.language != "console"]
    return {block.title: block.text for block in blocks if "::" not in block.title}


@every_page
def test_a_block_titled_as_a_file_is_the_whole_file(pages, name: str):
    for title, text in files_of(pages[name]).items():
        assert title, ("a Python block without a title", text)
        assert text == (ROOT / title).read_text()


def test_every_file_is_shown(pages):
    shown = {ROOT / title for page in pages.values() for title in files_of(page)}
    assert shown == set(FILES)


def test_every_example_is_exercised_by_the_tests_of_its_page():
    for file in FILES:
        folder, name = file.parent.name, file.stem
        if name.startswith("test_") or file.suffix != ".py":
            continue  # is itself a test, and pytest runs it in a session; or no program
        if (file.parent / f"test_{name}.py").exists():
            continue  # is tested by that
        claims = claims_of(page_of(f"{folder}/{name}"))
        assert claims, file
        tests = claims.read_text()
        strings = {
            node.value
            for node in ast.walk(ast.parse(tests))
            if isinstance(node, ast.Constant)
        }
        if (file.parent / "app.py").exists():  # a part of a project
            assert f"examples.{folder}.app:app" in strings, file
        else:
            assert f"examples.{folder}.{name}:app" in strings, file


@every_page
def test_no_page_has_an_address_of_a_registry_or_a_machine(pages, name: str):
    text = pages[name].file.read_text()
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text


def test_only_a_scene_that_would_not_mislead_has_a_button(runtime, pages):
    shown = {
        figure["data-scene"]
        for page in pages.values()
        for figure in page.soup.select("figure[data-scene]:has(+ run-scene)")
    }
    assert shown == {n for n, scene in SCENES.items() if scene.runs_in_browser}
