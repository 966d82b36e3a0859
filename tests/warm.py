"""Runs the tests of one page again and again: ``python -m tests.warm PAGE``, for `make mutants`.

Each line on its standard input, JSON of pytest's arguments and of seconds, is one run, in a
process forked from this one. What the tests import, the nursery, and the servers of the
page's examples are there already; examples and tests are imported anew. The answer is a
line of JSON: pytest's exit code, null if it took longer, and what it printed.
"""

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

import psutil
import psycopg
import pytest

from runner import nursery
from runner.needs import needs_of
from runner.process import kill_tree
from tests import services
from workshop.pages import claims_of, examples_of, target_of


def main() -> None:
    """Follow the orders until there are no more."""
    page = sys.argv[1]
    needed = {needs_of(target_of(file)).service for file in examples_of(page)} - {""}
    warm = nursery._nursery(os.getpid())
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    _import_what_tests_import(page)
    for number, line in enumerate(sys.stdin, 1):
        order = json.loads(line)
        for name in needed:
            with suppress(pytest.skip.Exception):
                services.running(name)
        keep = {child.pid for child in psutil.Process(warm._process.pid).children()}
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.TemporaryFile("w+") as told,
        ):
            os.chmod(folder, 0o755)  # PostgreSQL's user is another one
            if not (pid := os.fork()):
                tempfile.tempdir = os.environ["TMPDIR"] = folder
                services._numbers = count(1000 * number)
                nursery._nursery = lambda _owner: warm  # type: ignore[assignment]
                _run(order["arguments"], told.fileno())
            code = _wait(pid, order["timeout"])
            for child in psutil.Process(warm._process.pid).children():
                if child.pid not in keep:
                    kill_tree(child.pid)
            told.seek(0)
            print(json.dumps({"code": code, "told": told.read()}), file=answers)
        if "postgresql" in needed:
            _drop_databases()


def _import_what_tests_import(page: str) -> None:
    """All but the examples and the tests themselves, which a run may find changed."""
    null, out = os.open(os.devnull, os.O_WRONLY), os.dup(1)
    os.dup2(null, 1)
    claims = claims_of(page)
    assert claims is not None
    options = ["--collect-only", "--assert=plain", "-q", "-n0", "-pno:cacheprovider"]
    pytest.main([*options, str(claims)])
    sys.stdout.flush()
    os.dup2(out, 1)
    for name in [*sys.modules]:
        ours = name.partition(".")[0] in ("examples", "tests")
        if ours and name not in ("tests", "tests.services"):
            del sys.modules[name]
    importlib.invalidate_caches()


def _run(arguments: Sequence[str], output: int) -> None:
    """Be pytest, in the forked process. What is to be done at exit, the other one does."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 3
    try:
        code = pytest.main([*arguments])
        sys.stdout.flush()
    finally:
        os._exit(code)


def _wait(pid: int, timeout: float) -> int | None:
    """The exit code; None, and the process is ended, if it takes longer."""
    process = psutil.Process(pid)
    try:
        return process.wait(timeout)
    except psutil.TimeoutExpired:
        kill_tree(pid)
        process.wait()
        return None


def _drop_databases() -> None:
    """Those of the run that has ended."""
    with psycopg.connect(
        services.postgresql_url("postgres"), autocommit=True
    ) as connection:
        found = connection.execute(
            "select datname from pg_database where datname like 'test%'"
        )
        for (name,) in found.fetchall():
            connection.execute(f"drop database {name} with (force)")


if __name__ == "__main__":
    main()
