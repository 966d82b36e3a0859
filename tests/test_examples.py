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
        "recipes": 122,
        "many_machines": 120,
        "with_postgresql": 120,
        "durable_on_one_machine": 150,
        "jobs_table_in_production": 150,
        "listen_and_notify": 120,
    }.get(file.parent.name, 90)
    assert 15 <= len(source.splitlines()) <= most
    assert says.endswith(".")
    assert len(says.splitlines()) == 1
    assert not imported & {"examples", "runner", "tests", "theme"}


ORDERS = EXAMPLES / "background_tasks/with_arguments.py"
LONGEST = {"email": "a" * 242 + "@example.com", "item": "t" * 80}
FORECASTS = EXAMPLES / "heavy_work/robust_pool.py"


@pytest.mark.parametrize(
    ("file", "path", "body", "wrong"),
    [
        (ORDERS, "/task", {"email": "ada", "item": "tea"}, "email"),
        (ORDERS, "/task", {"email": "ada@example.com", "item": ""}, "item"),
        (ORDERS, "/task", {"email": "ada@example.com"}, "item"),
        (ORDERS, "/task", LONGEST | {"email": "a" + LONGEST["email"]}, "email"),
        (ORDERS, "/task", LONGEST | {"item": "t" + LONGEST["item"]}, "item"),
        (ORDERS, "/task", LONGEST | {"item": "t"}, ""),
        (ORDERS, "/task", LONGEST, ""),
        (FORECASTS, "/forecasts/1899", {}, "year"),
        (FORECASTS, "/forecasts/1900", {}, ""),
        (FORECASTS, "/forecasts/2100", {}, ""),
        (FORECASTS, "/forecasts/2101", {}, "year"),
    ],
)
def test_what_is_out_of_bounds_gets_a_422_that_names_the_field(
    file: Path, path: str, body: dict[str, str], wrong: str
):
    """A check of the example, line by line: what is just within its bounds gets a `202`."""
    with serve(target_of(file)) as server:
        response = client.post(f"{server.url}{path}", json=body)
    assert response.status_code == (422 if wrong else 202)
    if wrong:
        [problem] = response.json()["detail"]
        assert problem["loc"][-1] == wrong
        assert problem["msg"]
