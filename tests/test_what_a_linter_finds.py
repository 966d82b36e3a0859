"""The statements of docs/what-a-linter-finds.md."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from button.hints import RULES
from button.reading import File
from runner import client, serve
from tests.test_examples import EXAMPLES
from workshop.pages import DOCS

PROJECT = EXAMPLES / "what_a_linter_finds"
SETTINGS = PROJECT / "pyproject.toml"


@dataclass(frozen=True)
class Mistake:
    """Where an example of this site makes a mistake, and which hint there is."""

    example: str
    lines: tuple[str, ...]
    """What stands in them."""
    rule: str = ""


MISTAKES = {
    "`async def` blocks": Mistake(
        "def_or_async/blocking_call", ("sleep(1)  # stands in for any call",)
    ),
    "it blocks in a function further in": Mistake(
        "restarts/what_is_left",
        ("async def work_and_block", "    work_in_a_thread("),
        "blocks_through_a_def",
    ),
    "`async def` starts a program": Mistake(
        "processes_and_programs/left_behind", ("subprocess.Popen(",)
    ),
    "nobody holds a `create_task`": Mistake(
        "at_the_same_time/vanishes", ("    asyncio.create_task(",)
    ),
    "`asyncio.run` in `async def`": Mistake(
        "event_loop_errors/two_loops",
        ("async def deliver_inside_a_loop", "asyncio.run(deliver(url))"),
        "loop_in_a_loop",
    ),
    "an event loop that a `def` task looks for": Mistake(
        "def_or_async/back_to_the_loop",
        ("def make_thumbnail_wrongly", "asyncio.get_running_loop()"),
        "no_loop_in_a_thread",
    ),
    "a call in `add_task`": Mistake(
        "why_it_never_ran/called_at_once",
        ("add_task(send_receipt(order))",),
        "call_in_place_of_a_function",
    ),
    "a coroutine in `add_task`": Mistake(
        "def_or_async/called_too_early",
        ("call = send_mail(", "add_task(call)"),
        "coroutine_in_place_of_a_function",
    ),
    "a wrong argument": Mistake(
        "def_or_async/called_too_early",
        ("function = send_mail", "add_task(function, "),
        "wrong_arguments",
    ),
    "a lambda around an async function": Mistake(
        "def_or_async/never_awaited",
        ("add_task(lambda",),
        "coroutine_behind_a_lambda",
    ),
    "a decorator that hides that a function is async": Mistake(
        "def_or_async/never_awaited",
        ("return function(*args)", "add_task(send_logged_mail"),
        "coroutine_behind_a_decorator",
    ),
    "`background_tasks=BackgroundTasks()`": Mistake(
        "why_it_never_ran/not_injected",
        ("async def forget_annotation", "background_tasks=BackgroundTasks()"),
        "not_annotated",
    ),
    "`Depends` in the parameters of a task": Mistake(
        "uploads_and_requests/not_resolved",
        ("Depends(read_settings)) ->", "add_task(send_receipt)"),
        "dependency_of_a_task",
    ),
    "an exception after `add_task`": Mistake(
        "why_it_never_ran/raised_after",
        ('f"raised, {item}"', "raise HTTPException"),
        "raised_after",
    ),
    "a response with a `background` of its own": Mistake(
        "why_it_never_ran/own_response",
        ("add_task(write_audit_log)  # never runs", "BackgroundTask(send_receipt)"),
        "replaced_by_the_response",
    ),
    "a task added after `yield`": Mistake(
        "why_it_never_ran/after_yield",
        ('add_task(write_audit_log, "added after yield")',),
        "added_after_yield",
    ),
    "a task added in a WebSocket endpoint": Mistake(
        "why_it_never_ran/websocket",
        ("add_task(archive_chat",),
        "added_in_a_websocket",
    ),
    "a `BackgroundTasks()` that nobody runs": Mistake(
        "why_it_never_ran/of_its_own",
        ("    tasks = BackgroundTasks()", '"forgotten")'),
        "made_and_forgotten",
    ),
    "a `BackgroundTasks()` at module level": Mistake(
        "why_it_never_ran/kept",
        ("all_tasks = BackgroundTasks()", "all_tasks.add_task"),
        "made_for_all_requests",
    ),
    "a task that changes the response": Mistake(
        "when_it_runs/too_late_to_change",
        ("response.status_code = 500", "add_task(mark_as_failed"),
        "response_changed_too_late",
    ),
    "a session that is closed when the task uses it": Mistake(
        "sessions_and_dependencies/reopened",
        ("add_task(refresh_totals, session)",),
        "session_closed_before_the_task",
    ),
    "a row that is committed after the task": Mistake(
        "sessions_and_dependencies/row_not_found",
        ("session.commit()", "add_task(send_receipt, order.id)"),
        "row_committed_after_the_task",
    ),
}
"""The mistakes that the page lists."""

ABOUT_STYLE = re.compile(r"(ANN|D|E|ERA|T)\d+")
"""Rules about annotations, docstrings, layout, comments and `print`."""


def run(*command: str | Path, cwd: Path) -> str:
    """What a program that is installed beside Python prints, whether it finds something or not."""
    program, *arguments = command
    installed = Path(sys.executable).parent / program
    result = subprocess.run(
        [installed, *arguments], cwd=cwd, capture_output=True, text=True
    )
    assert result.returncode in (0, 1), result.stderr
    return result.stdout


def ruff(folder: Path, *options: str | Path) -> list[tuple[str, int, str]]:
    """The file without its ending, the line and the code of each finding."""
    given = ("--no-cache", "--ignore-noqa", "--target-version", "py311", *options)
    found = json.loads(run("ruff", "check", *given, "--output-format=json", cwd=folder))
    return [(Path(f["filename"]).stem, f["location"]["row"], f["code"]) for f in found]


def mypy(folder: Path, *options: str | Path) -> list[tuple[str, int, str]]:
    """The same of mypy's errors."""
    cache = f"--cache-dir={folder / '.mypy_cache'}"
    told = run("mypy", "--config-file", SETTINGS, cache, *options, cwd=folder)
    errors = re.findall(r"^([\w/]+)\.py:(\d+): error: .*\[(.+)\]$", told, re.MULTILINE)
    return [(name, int(line), code) for name, line, code in errors]


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """The examples with the mistakes, without what keeps ruff and mypy quiet."""
    for mistake in MISTAKES.values():
        source = (EXAMPLES / f"{mistake.example}.py").read_text()
        loud = re.sub(r"  # (noqa|type: ignore).*", "", source)
        loud = re.sub(r"(\w+): Any = (Background|send)", r"\1=\2", loud)
        (tmp_path / f"{name_of(mistake)}.py").write_text(loud)
    return tmp_path


def name_of(mistake: Mistake) -> str:
    return mistake.example.replace("/", "__")


def codes(
    found: list[tuple[str, int, str]], mistake: Mistake, folder: Path
) -> set[str]:
    """What has been found in the lines of a mistake."""
    name = name_of(mistake)
    lines = (folder / f"{name}.py").read_text().splitlines()
    numbers = {n for n, x in enumerate(lines, 1) if any(y in x for y in mistake.lines)}
    assert numbers, mistake
    return {code for file, line, code in found if file == name and line in numbers}


def found_by() -> dict[str, dict[str, set[str]]]:
    """Of the page: for each mistake who finds it, each with the codes."""
    text = (DOCS / "what-a-linter-finds.md").read_text()
    cells = re.findall(r"^\| \[(.+?)\]\(.+?\) \| (.+) \|$", text, re.MULTILINE)
    listed = re.findall(r"^- \[(.+?)\]\(", text, re.MULTILINE)
    return {
        mistake: {
            part.split()[0]: set(re.findall("`(.+?)`", part))
            for part in cell.split("; ")
        }
        for mistake, cell in [*cells, *((x, "playground") for x in listed)]
    }


@pytest.mark.slow
def test_each_mistake_is_found_by_what_the_page_says(copies: Path):
    """In the lines of each mistake ruff, mypy and the playground find what is said here, and no more."""
    by_ruff = ruff(copies, "--config", SETTINGS)
    by_mypy = mypy(copies, ".")
    assert found_by().keys() == MISTAKES.keys()
    for name, said in found_by().items():
        mistake = MISTAKES[name]
        assert codes(by_ruff, mistake, copies) == said.get("ruff", set()), name
        assert codes(by_mypy, mistake, copies) == said.get("mypy", set()), name
        file = File((EXAMPLES / f"{mistake.example}.py").read_text())
        hinted = {rule.name for rule in RULES if list(rule.hints(file))}
        assert bool(mistake.rule) == ("playground" in said), name
        assert mistake.rule in hinted or not mistake.rule


def test_all_rules_together_find_no_more(copies: Path):
    """With `select = ["ALL"]` and all preview rules, what ruff says of those lines is about style."""
    all_of_them = ("--select", "ALL", "--preview")
    named = ("--config", "lint.explicit-preview-rules = false")
    found = ruff(copies, "--config", SETTINGS, *all_of_them, *named)
    for name, said in found_by().items():
        if said.keys() == {"playground"}:
            told = codes(found, MISTAKES[name], copies)
            assert not [code for code in told if not ABOUT_STYLE.fullmatch(code)], name


def test_async_rules_look_no_further_than_the_function(copies: Path):
    """The `ASYNC` rules name the call of `time.sleep` in an `async def`, and say nothing where a `def` that it calls does the same."""
    found = ruff(copies, "--isolated", "--select", "ASYNC")
    direct, further = (MISTAKES[name] for name in list(MISTAKES)[:2])
    assert codes(found, direct, copies) == {"ASYNC251"}
    assert codes(found, further, copies) == set()


def test_an_async_def_that_awaits_nothing_is_named_unless_it_is_an_endpoint(
    tmp_path: Path,
):
    """`RUF029` names an exception handler that awaits nothing. An endpoint that awaits nothing is not named."""
    shutil.copy(EXAMPLES / "why_it_never_ran/work_on_error.py", tmp_path)
    source = (tmp_path / "work_on_error.py").read_text()
    assert "await" not in source
    lines = source.splitlines()
    found = ruff(tmp_path, "--config", SETTINGS)
    named = [lines[line - 1] for _, line, code in found if code == "RUF029"]
    assert [line.partition("(")[0] for line in named] == [
        "async def answer_out_of_stock"
    ]
    assert any("async def create_order" in line for line in lines)


def test_b008_takes_depends_for_a_mistake_unless_it_is_told(tmp_path: Path):
    """`B008` names `= Depends(...)` in an endpoint, unless `extend-immutable-calls` has it."""
    (tmp_path / "main.py").write_text(
        "from fastapi import Depends, FastAPI\n"
        "app = FastAPI()\n"
        "class User: ...\n"
        "@app.get('/')\n"
        "def read(user: User = Depends(User)): ...\n"
    )
    found = ruff(tmp_path, "--isolated", "--select", "B008")
    assert found == [("main", 5, "B008")]
    assert ruff(tmp_path, "--config", SETTINGS, "--select", "B008") == []


@pytest.mark.slow
def test_a_wrapper_with_a_param_spec_keeps_the_check_and_any_silences_it(
    tmp_path: Path,
):
    """Through a wrapper typed with a `ParamSpec` mypy finds a wrong argument of the task; through one that takes `Callable[..., Any]`, or of a function assigned to `Any`, it does not."""
    source = (EXAMPLES / "when_a_task_fails/never_raises.py").read_text()
    wrong = source.replace("send_receipt, 7)", "send_receipt, 7, 8)")
    vague = wrong.replace("import ParamSpec", "import Any, ParamSpec")
    for precise in (
        "Callable[P, None] | Callable[P, Awaitable[None]]",
        "P.args",
        "P.kwargs",
    ):
        assert precise in vague
        loose = "Callable[..., Any]" if "Callable" in precise else "Any"
        vague = vague.replace(precise, loose)
    (tmp_path / "precise.py").write_text(wrong)
    (tmp_path / "vague.py").write_text(vague)
    shutil.copy(EXAMPLES / "def_or_async/called_too_early.py", tmp_path)
    assert {name for name, _, _ in mypy(tmp_path, ".")} == {"precise"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the page's project."""
    return Path(shutil.copytree(PROJECT, tmp_path / "orders"))


def move_imports(project: Path, *options: str) -> str:
    """The source of `dependencies.py` after the fixes of `TC`."""
    fix = ("--no-cache", "--extend-select", "TC", "--fix", "--unsafe-fixes")
    run("ruff", "check", *fix, *options, ".", cwd=project)
    return (project / "dependencies.py").read_text()


def test_the_fix_of_tc002_makes_every_request_a_422(project: Path):
    """After `ruff check --fix --unsafe-fixes` with `TC`, each request of the app gets a `422` for the query parameter `tasks`."""
    fixed = move_imports(project, "--isolated")
    assert "if TYPE_CHECKING:\n    from fastapi import BackgroundTasks" in fixed
    with serve("orders.app:app", cwd=project.parent) as server:
        answer = client.post(f"{server.url}/orders/7")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "tasks"]


def test_for_python_3_14_it_is_moved_without_the_future_import(project: Path):
    """Without that import it is moved for `target-version = "py314"`, and stays for `py313`."""
    file = project / "dependencies.py"
    file.write_text(file.read_text().replace("from __future__ import annotations", ""))
    for version, moved in {"py313": False, "py314": True}.items():
        fixed = move_imports(project, "--isolated", "--target-version", version)
        assert ("TYPE_CHECKING" in fixed) == moved


def test_with_exempt_modules_nothing_is_moved(project: Path):
    """With `fastapi` among the `exempt-modules` the import stays, and the request gets its `200`."""
    assert move_imports(project) == (PROJECT / "dependencies.py").read_text()
    with serve("examples.what_a_linter_finds.app:app") as server:
        assert client.post(f"{server.url}/orders/7").status_code == 200
        server.wait_for("write_audit_log: an order was sent")
        server.wait_for("send_receipt: 7")


@pytest.mark.slow
def test_in_the_project_of_this_page_they_find_nothing(project: Path):
    """In this project ruff and mypy, with the settings beside it, find nothing."""
    assert ruff(project) == []
    assert mypy(project.parent, "orders") == []
