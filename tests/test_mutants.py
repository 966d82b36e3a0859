"""What `make mutants` changes in an example, and what it says of that."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from cosmic_ray.mutating import mutate_code

from runner.process import ROOT, kill_tree
from tests.orders import ask_until
from workshop import mutants
from workshop.mutants import (
    Copy,
    Trial,
    Unsound,
    equivalents_of,
    mutants_of,
    mutants_of_its_own,
    unmatched,
)
from workshop.operators import OPERATORS
from workshop.pages import PAGES, claims_of

FIRST_TASK = ROOT / "examples/background_tasks/first_task.py"


@pytest.mark.parametrize(
    ("operator", "code", "changed"),
    [
        ("StatementDropped", "def f():\n    a()\n    b()\n", "def f():\n    pass\n    b()\n"),
        ("AwaitRemoved", "x = await a.b(1)\n", "x = a.b(1)\n"),
        ("ArgumentDropped", "f(1, a=2, *b)\n", "f(1, *b)\n"),
        ("ArgumentDropped", "f(a=2)\n", "f()\n"),
        ("ArgumentDropped", "f(1, g(2))\n", "f(1)\n"),
        ("LinkDropped", "q(a).order_by(b).limit(1)\n", "q(a).limit(1)\n"),
        ("ItemDropped", "a = {'b': 1, 'c': 2}\n", "a = {'c': 2}\n"),
        ("StatusChanged", "@app.get('/', status_code=202)\ndef f(): ...\n", "@app.get('/', status_code=219)\ndef f(): ...\n"),
        ("StatusChanged", "raise HTTPException(404, 'none')\n", "raise HTTPException(421, 'none')\n"),
        ("NumberChanged", "limit = 3\n", "limit = 4\n"),
        ("FunctionColourExchanged", "def f():\n    a()\n", "async def f():\n    a()\n"),
        ("FunctionColourExchanged", "async def f():\n    a()\n", "def f():\n    a()\n"),
        ("SignalExchanged", "os.kill(1, signal.SIGTERM)\n", "os.kill(1, signal.SIGINT)\n"),
        ("ExceptionExchanged", "raise ValueError('no')\n", "raise LookupError('no')\n"),
        ("ExceptionExchanged", "with suppress(OSError):\n    a()\n", "with suppress(FloatingPointError):\n    a()\n"),
        ("ClauseDropped", "q = 'select a from b order by c limit 1'\n", "q = 'select a from b limit 1'\n"),
    ],
)  # fmt: skip
def test_an_operator_changes_one_thing(operator: str, code: str, changed: str):
    assert mutate_code(code, OPERATORS[operator], 0) == changed


@pytest.mark.parametrize(
    ("operator", "code"),
    [
        ("StatementDropped", "time.sleep(1)  # stands in for a mail server\n"),
        ("StatementDropped", "class State(TypedDict):\n    pool: Pool\n"),
        ("StatementDropped", '"""What to watch."""\nimport os\n'),
        ("NumberChanged", "await asyncio.sleep(1)\nf(timeout=30)\nstop.wait(1 if a else 2)\n"),
        ("NumberChanged", "a: Annotated[str, Field(min_length=1, max_length=80)]\n"),
        ("FunctionColourExchanged", "@app.post('/')\nasync def f():\n    a()\n"),
        ("RemoveDecorator", "@asynccontextmanager\nasync def lifespan(app):\n    yield\n"),
    ],
)  # fmt: skip
def test_what_no_claim_can_notice_is_left_as_it_is(operator: str, code: str):
    assert mutate_code(code, OPERATORS[operator], 0) is None


def test_mutants_compile_differ_and_are_no_mere_flush(tmp_path: Path):
    file = tmp_path / "main.py"
    file.write_text("async def f():\n    print(await g(), flush=True)\n")
    codes = [mutant.code for mutant in mutants_of(file)]
    assert len(codes) == len({*codes}) == 2
    assert all(compile(code, "main.py", "exec") for code in codes)
    assert not any("flush=False" in code or "g())" in code for code in codes)


def test_of_a_change_only_what_is_different_is_tried():
    changed = ROOT / "examples/arq/takes_ctrl_c.py"
    original = ROOT / "examples/arq/worker_in_the_app.py"
    tried = mutants_of_its_own(changed, "arq")
    assert tried
    assert all("redis_pool=" in mutant.line for mutant in tried)
    assert mutants_of_its_own(original, "arq") == mutants_of(original)


@pytest.mark.slow
def test_a_mutant_is_killed_in_a_copy_by_the_quickest_check_that_knows_it(
    tmp_path: Path,
):
    source = FIRST_TASK.read_text()
    trial = Trial("background-tasks")
    trial.files = trial.files[:1]
    with closing(Copy(tmp_path)) as copy:
        checks, timeout = trial.checks_of(FIRST_TASK, copy)
        assert checks
        assert timeout > mutants.MORE
        [removed] = [m for m in mutants_of(FIRST_TASK) if "@app.post" in m.line][-1:]
        verdict = trial.try_out(removed, checks, timeout, copy)
        assert (verdict.outcome, verdict.by) == ("killed", checks[0])
        assert trial.try_out(removed, checks, 0, copy).outcome == "timed out"
    assert FIRST_TASK.read_text() == source


@pytest.mark.slow
def test_an_example_without_a_check_is_told(tmp_path: Path):
    trial = Trial("background-tasks")
    trial.files = [str(Path(__file__).relative_to(ROOT))]
    with closing(Copy(tmp_path)) as copy, pytest.raises(Unsound, match="no check"):
        trial.checks_of(FIRST_TASK, copy)


@pytest.mark.slow
def test_ended_early_it_leaves_no_copy_and_no_process(tmp_path: Path):
    """Its checks run in a session of their own, which hears of no signal."""
    (tmp_path / "made").mkdir()
    script = (
        "from pathlib import Path; from workshop import mutants;"
        f"mutants.FOUND = Path({str(tmp_path / 'found.sqlite')!r}); mutants.main()"
    )
    command = [sys.executable, "-c", script, "--page", "background-tasks"]
    env = os.environ | {"TMPDIR": str(tmp_path / "made")}
    with subprocess.Popen(command, cwd=ROOT, env=env) as run:
        try:
            ask_until(lambda: [*tmp_path.glob("made/*/*/tests")], bool, 240)
            begun = psutil.Process(run.pid).children(recursive=True)
            run.terminate()
            assert run.wait(30) != 0
        finally:
            kill_tree(run.pid)
    assert begun
    assert not any(process.is_running() for process in begun)
    assert [*(tmp_path / "made").iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_each_listed_mutant_is_one_and_has_a_reason(page: str):
    """No list is longer than the page's claims."""
    assert unmatched(page) == []
    claims = claims_of(page)
    if listed := equivalents_of(page):
        assert claims is not None
        assert len(listed) <= claims.read_text().count("\ndef test_")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("[[first_task]]\nline='a'\nbecomes='b'", "gives no reason"),
        ("[[other]]\nline='a'\nbecomes='b'\nreason='So.'", "names no example"),
    ],
)
def test_a_list_without_a_reason_or_an_example_is_refused(
    entry: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "claims.toml").write_text(entry)
    monkeypatch.setattr(mutants, "claims_of", lambda _: tmp_path / "claims.py")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=told):
        equivalents_of("background-tasks")


def test_what_is_listed_and_no_mutant_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    entry = "[[first_task]]\nline='a'\nbecomes='b'\nreason='So.'"
    (tmp_path / "claims.toml").write_text(entry)
    monkeypatch.setattr(mutants, "claims_of", lambda _: tmp_path / "claims.py")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    assert unmatched("background-tasks") == ["first_task: no such mutant: 'a' → 'b'"]
