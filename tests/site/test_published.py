"""What is published is what the tests ran."""

import ast
import textwrap
from pathlib import Path

import pytest

from runner.process import ROOT
from runner.scenes import SCENES
from workshop.pages import EXAMPLES, TESTS, claims_of, page_of

pytestmark = pytest.mark.every_page

FILES = sorted(
    file
    for file in EXAMPLES.rglob("*.*")
    if file.suffix in (".py", ".yaml") and file.name != "__init__.py"
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


def test_every_block_is_python_from_a_tested_file_or_a_session(pages):
    for page in pages:
        for block in page.blocks:
            assert block.language in ("python", "console", "yaml"), (page, block)
            if block.language != "console":
                parts = block.text.strip("\n").split("\n\n\n")
                for part in parts:
                    assert part.strip(), (page, "an empty block")
                    assert any(is_a_run_of_lines_of(part, f) for f in SOURCES), (
                        page,
                        part,
                    )


def test_a_block_titled_as_a_file_is_the_whole_file(pages):
    shown = set()
    for page in pages:
        for block in page.blocks:
            if block.language != "console" and "::" not in block.title:
                file = ROOT / block.title
                assert block.title, (page, "a Python block without a title", block)
                assert block.text == file.read_text(), (page, block.title)
                shown.add(file)
    assert shown == set(FILES)


def test_every_example_is_exercised_by_the_tests_of_its_page():
    for file in FILES:
        folder, name = file.parent.name, file.stem
        if name.startswith("test_") or file.suffix != ".py":
            continue  # is itself a test, and pytest runs it in a session; or no program
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


def test_no_page_has_an_address_of_a_registry_or_a_machine(pages):
    for page in pages:
        text = page.file.read_text()
        assert str(ROOT) not in text
        assert str(Path.home()) + "/" not in text


def test_only_a_scene_that_would_not_mislead_has_a_button(runtime, pages):
    shown = {
        figure["data-scene"]
        for page in pages
        for figure in page.soup.select("figure[data-scene]:has(+ run-scene)")
    }
    assert shown == {n for n, scene in SCENES.items() if not scene.not_in_browser}
