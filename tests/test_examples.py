"""What holds for every example: complete, small, polite, and the same wherever it is copied."""

import ast
import shutil
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies

from runner import serve
from runner.server import ROOT

EXAMPLES = [
    pytest.param(file, id=file.relative_to(ROOT / "examples").as_posix())
    for file in sorted((ROOT / "examples").rglob("*.py"))
    if not file.name.startswith("test_")
]
every_example = pytest.mark.parametrize("file", EXAMPLES)


@every_example
def test_an_example_is_one_small_file_with_an_app_and_a_line_that_says_what_to_watch(
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
    most = 120 if file.parent.name == "recipes" else 90
    assert 15 <= len(source.splitlines()) <= most
    assert says.endswith(".")
    assert len(says.splitlines()) == 1
    assert not imported & {"examples", "runner", "tests", "theme"}


@pytest.mark.slow
@every_example
@pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis")
def test_a_copy_named_main_runs_alone_in_an_empty_folder_and_has_no_5xx(
    file: Path, tmp_path: Path
):
    """Whatever its schema allows or forbids gets no 5xx that the schema does not declare."""
    shutil.copy(file, tmp_path / "main.py")
    no_cache = {"PYTHONDONTWRITEBYTECODE": "1"}
    with serve("main:app", cwd=tmp_path, env=no_cache) as server:
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        tried = set()
        for result in schema.get_all_operations():
            operation = result.ok()

            @settings(
                max_examples=12, deadline=None, suppress_health_check=list(HealthCheck)
            )
            @given(case=requests_good_and_bad(operation))
            def call(case):
                status = case.call(base_url=server.url).status_code
                declared = case.operation.definition.raw["responses"]
                assert status < 500 or str(status) in declared
                tried.add(case.path)

            call()
        assert tried == set(schema.raw_schema["paths"])
        assert httpx.post(f"{server.url}/nothing-here").status_code == 404
    assert [path.name for path in tmp_path.iterdir()] == ["main.py"]


def requests_good_and_bad(operation):
    """Hypothesis's strategy for the requests of one operation."""
    good = operation.as_strategy()
    bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    varies = operation.body or operation.query or operation.path_parameters
    return strategies.one_of(good, bad) if varies else good


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
        response = httpx.post(f"{server.url}/task", json=body)
    assert response.status_code == 422
    [problem] = response.json()["detail"]
    assert problem["loc"] == ["body", where]
    assert problem["msg"]
