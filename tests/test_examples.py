"""What holds for every example: complete, small, polite, and the same wherever it is copied."""

import ast
from pathlib import Path

import pytest

from runner import client, serve
from runner.needs import needs_of
from workshop.pages import EXAMPLES, target_of

FILES = [
    file
    for file in sorted(EXAMPLES.rglob("*.py"))
    if not file.name.startswith(("test_", "__"))
]


def each(files: list[Path]) -> pytest.MarkDecorator:
    """Run a test for each of these files."""
    params = [
        pytest.param(
            file,
            id=file.relative_to(EXAMPLES).as_posix(),
            marks=[pytest.mark.queues] if needs_of(target_of(file)).packages else [],
        )
        for file in files
    ]
    return pytest.mark.parametrize("file", params)


every_file = each(FILES)
ONE_FILE = [file for file in FILES if not (file.parent / "app.py").exists()]


@every_file
def test_an_example_is_a_small_file_with_a_line_that_says_what_to_watch(
    file: Path,
):
    source = file.read_text()
    says = ast.get_docstring(ast.parse(source)) or ""
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    }
    most = {
        "recipes": 120,
        "many_machines": 120,
        "with_postgresql": 120,
        "durable_on_one_machine": 150,
        "jobs_table_in_production": 140,
        "listen_and_notify": 120,
    }.get(file.parent.name, 90)
    assert 15 <= len(source.splitlines()) <= most
    assert says.endswith(".")
    assert len(says.splitlines()) == 1
    assert not imported & {"examples", "runner", "tests", "theme"}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"email": "ada", "item": "tea"}, "email"),
        ({"email": "ada@example.com", "item": ""}, "item"),
        ({"email": "ada@example.com"}, "item"),
        ({"email": "a" * 250 + "@example.com", "item": "tea"}, "email"),
    ],
)
def test_bad_input_gets_a_422_that_names_the_field(body: dict[str, str], where: str):
    with serve("examples.background_tasks.with_arguments:app") as server:
        response = client.post(f"{server.url}/task", json=body)
    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert problem["loc"] == ["body", where]
    assert problem["msg"]
