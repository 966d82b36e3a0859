"""What holds for every example: complete, small, polite, and the same wherever it is copied."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import client, serve
from runner.needs import needs_of
from runner.process import ROOT
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


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Each call in it, with the name of what is called."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in found]


def in_every_example(kind: type | tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Each node of that kind in an example, and where it is."""
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, kind):
                yield f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", node


@pytest.mark.every_page
def test_a_setting_has_a_default():
    """So that a copy runs without any; one that may be missing is compared, or has an `or`."""
    may_be_missing = {
        ast.unparse(within)
        for _, node in in_every_example((ast.BoolOp, ast.Compare, ast.keyword))
        if not isinstance(node, ast.keyword) or node.arg == "dsn"
        for within in ast.walk(node)
    }
    without = [
        where
        for where, call in in_every_example(ast.Call)
        if ast.unparse(call.func) == "os.environ.get"
        and len(call.args) < 2
        and ast.unparse(call) not in may_be_missing
    ]
    assert without == []


@pytest.mark.every_page
def test_what_is_bounded_at_one_end_is_at_the_other():
    half = []
    for where, call in in_every_example(ast.Call):
        bounds = {argument.arg for argument in call.keywords}
        if ast.unparse(call.func) in ("Path", "Query", "Field", "Header", "Form"):
            of_text = "min_length" in bounds and "max_length" not in bounds
            if of_text or bool(bounds & {"ge", "gt"}) != bool(bounds & {"le", "lt"}):
                half.append(where)
    assert half == []


@pytest.mark.every_page
def test_an_endpoint_declares_what_it_raises_and_says_why():
    wrong = []
    for where, function in in_every_example((ast.FunctionDef, ast.AsyncFunctionDef)):
        raised = [call for name, call in calls(function) if name == "HTTPException"]
        wrong += [where for call in raised if len([*call.args, *call.keywords]) < 2]
        statuses = {ast.unparse(call.args[0]) for call in raised if call.args}
        for decorator in map(ast.unparse, function.decorator_list):
            declared = decorator.partition("responses=")[2]
            missing = [s for s in statuses - {"422", "499"} if f"{s}:" not in declared]
            if decorator.startswith("app.") and missing:
                wrong.append(where)
    assert wrong == []


@pytest.mark.every_page
def test_an_endpoint_that_waits_for_a_broker_is_def():
    """Celery's, RQ's and Dramatiq's calls block: the page on Celery shows what becomes of one in `async def`."""
    wrong = []
    for where, function in in_every_example(ast.AsyncFunctionDef):
        awaited = {
            ast.unparse(node.value)
            for node in ast.walk(function)
            if isinstance(node, ast.Await)
        }
        wrong += [
            where
            for name, call in calls(function)
            if name.endswith((".delay", ".apply_async", ".enqueue", ".send"))
            and ast.unparse(call) not in awaited
            and function.name != "wait_on_the_event_loop"
        ]
    assert wrong == []


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
