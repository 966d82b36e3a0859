"""Changes the examples line by line, and says which change no check notices: ``make mutants``.

A mutant is one change by one operator of `workshop.operators`. Each is made in a copy of the
project and tried against the checks of its page: its claims, its session, a copy of the
example, its bounds, its recordings; of these against those that fail when the example
cannot be imported, the quickest first, until one fails. They run in a process of
`tests.warm`, since most of what a test takes is its beginning. What was found is kept in
``.cache/mutants.sqlite``. It is tried again when the example has changed; what survived,
also when the page's checks have.

A mutant that no check can notice is named in a file beside the claims of its page, such as
``tests/test_heavy_work.toml``::

    [[robust_pool]]
    line = "os._exit(1)"
    becomes = "os._exit(2)"
    reason = "Nobody reads how a process ends that ends with its server."
"""

import argparse
import ast
import difflib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Lock
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import (
    MutationSpec,
    TestOutcome,
    WorkerOutcome,
    WorkItem,
    WorkResult,
)

from runner.process import ROOT, kill_tree
from workshop.copying import copied
from workshop.operators import OPERATORS
from workshop.pages import DOCS, EXAMPLES, PAGES, claims_of, examples_of, page_of_file

FOUND = ROOT / ".cache/mutants.sqlite"
JOBS = 3 * len(os.sched_getaffinity(0))
"""Examples that are tried at the same time, each in a copy of its own: most tests wait."""
_ONE_AT_A_TIME = Lock()
"""Who writes down what was found, or prints it."""
FACTOR, MORE = 3, 20.0
"""How many times what the checks take without a change, and seconds more, they may take."""
_IDLE = re.compile(r", flush=(True|False)")
"""Tells a reader's pipe something, and our tests' terminals nothing."""


@dataclass(frozen=True)
class Mutant:
    """One change of one example."""

    file: Path
    operator: str
    occurrence: int
    position: tuple[tuple[int, int], tuple[int, int]]
    code: str
    """The whole changed file."""
    line: str
    """What was there, and what is there now, without indentation."""
    becomes: str

    @property
    def id(self) -> str:
        """The same as long as the example is the same."""
        name = self.file.relative_to(ROOT).as_posix()
        original = self.file.read_text()
        return _hash(name, original, self.code)

    def __str__(self) -> str:
        line = self.position[0][0]
        return f"{self.file.relative_to(ROOT)}:{line}: {self.line!r} → {self.becomes!r}"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``killed`` by which test, ``timed out``, or ``survived``."""

    outcome: str
    by: str = ""


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def mutants_of(file: Path) -> list[Mutant]:
    """Each change that an operator makes and Python compiles, once."""
    source = file.read_text()
    seen = {_meaning(source)}
    found = []
    for name, operator in OPERATORS.items():
        positions = [
            position
            for node in ast_nodes(get_ast(source))
            for position in operator.mutation_positions(node)
        ]
        for occurrence, position in enumerate(positions):
            code = mutate_code(source, operator, occurrence)
            meaning = _meaning(code or "")
            if code is not None and meaning and meaning not in seen:
                seen.add(meaning)
                difference = _difference(source, code)
                found.append(
                    Mutant(file, name, occurrence, position, code, *difference)
                )
    return sorted(found, key=lambda mutant: mutant.position)


def mutants_of_its_own(file: Path, page: str) -> list[Mutant]:
    """Without those of lines that it shares with an example whose change it is.

    A page shows such a one by what is different; what is the same is tried in the other.
    """
    name = file.relative_to(EXAMPLES).as_posix()
    text = (DOCS / f"{page}.md").read_text()
    others = re.findall(rf"^```change\n(\S+) → {re.escape(name)}$", text, re.MULTILINE)
    shared = {
        line.strip()
        for other in others
        for line in (EXAMPLES / other).read_text().splitlines()
    }
    return [mutant for mutant in mutants_of(file) if mutant.line not in shared]


def _meaning(source: str) -> str:
    """The same for what Python reads as the same; nothing for what it does not compile."""
    try:
        tree = ast.parse(_IDLE.sub("", source))
        compile(tree, "", "exec")
    except SyntaxError:
        return ""
    return ast.dump(tree)


def _difference(source: str, code: str) -> tuple[str, str]:
    """The changed lines as they were and as they are, each side as one."""
    compared = [*difflib.ndiff(source.splitlines(), code.splitlines())]
    sides = (
        [line[2:].strip() for line in compared if line.startswith(f"{sign} ")]
        for sign in "-+"
    )
    was, now = (" ".join(filter(None, side)) for side in sides)
    return was, now


def equivalents_of(page: str) -> dict[tuple[str, str, str], str]:
    """The reasons of a page's list, by example, line and what it becomes.

    Raises `SystemExit` if an entry has no reason, or is not of an example of the page.
    """
    claims = claims_of(page)
    listed = claims.with_suffix(".toml") if claims else None
    if not listed or not listed.exists():
        return {}
    where = listed.relative_to(ROOT)
    names = {file.stem for file in examples_of(page)}
    reasons = {}
    for name, entries in tomllib.loads(listed.read_text()).items():
        for entry in entries:
            if name not in names or not entry.get("reason", "").endswith("."):
                sys.exit(f"{where}: [[{name}]] names no example, or gives no reason")
            reasons[name, entry["line"], entry["becomes"]] = entry["reason"]
    return reasons


def unmatched(page: str) -> list[str]:
    """What a page's list names, and is no mutant: a line each."""
    listed = equivalents_of(page)
    named = {name for name, _, _ in listed}
    found = {
        (file.stem, mutant.line, mutant.becomes)
        for file in examples_of(page)
        if file.stem in named
        for mutant in mutants_of(file)
    }
    return [
        f"{name}: no such mutant: {line!r} → {becomes!r}"
        for name, line, becomes in listed
        if (name, line, becomes) not in found
    ]


_QUIETLY = (
    *("-q", "-n0", "-rfE", "--tb=line", "--show-capture=no", "--assert=plain"),
    *("-pno:cacheprovider", "-m", "queues or not queues"),
)
"""pytest's options: which tests fail, and no more."""


class _Warm:
    """A process of `tests.warm`, which runs the tests of one page in one copy."""

    def __init__(self, folder: Path, page: str, made: Path) -> None:
        self.page = page
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", page],
            cwd=folder,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(made)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, arguments: Sequence[str], timeout: float) -> tuple[int | None, str]:
        """The exit code, None if it took too long, and what was printed."""
        assert self._process.stdin
        assert self._process.stdout
        order = json.dumps({"arguments": arguments, "timeout": timeout})
        print(order, file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["told"]

    def end(self) -> None:
        """End it, and what it has started."""
        self._process.communicate()


class Copy:
    """A copy of the project to change examples in."""

    def __init__(self, folder: Path) -> None:
        self.folder = copied(folder / "copy", installed=True)
        self._tests, self._made = folder / "tests", folder / "made"
        self._made.mkdir()
        self._warm: _Warm | None = None

    def run(
        self,
        page: str,
        file: Path,
        code: str,
        tests: Sequence[str],
        *options: str,
        timeout: float = 1200,
    ) -> tuple[int | None, str]:
        """What pytest says of the tests of a page while the file has that code."""
        if not self._warm or self._warm.page != page:
            self.close()
            self._warm = _Warm(self.folder, page, self._made)
        changed = self.folder / file.relative_to(ROOT)
        changed.write_text(code)
        arguments = [*_QUIETLY, f"--basetemp={self._tests}", "--page", page]
        arguments += [*options, *tests]
        try:
            return self._warm.run(arguments, timeout)
        finally:
            changed.write_text(file.read_text())

    def close(self) -> None:
        """End what runs in it."""
        if self._warm:
            self._warm.end()
            self._warm = None


class Trial:
    """The checks of one page, tried in a copy of the project."""

    def __init__(self, page: str) -> None:
        self._page = page
        claims = claims_of(page)
        assert claims is not None, page
        files = [claims, DOCS / f"{page}.md"]
        files += [
            ROOT / "tests" / f"test_{kind}.py"
            for kind in ("examples", "copies", "recordings")
        ]
        self.files = [str(file.relative_to(ROOT)) for file in files]
        """What is asked for checks that concern an example."""
        self.state = _hash(*(file.read_text() for file in files[:2]))
        """Another when the page's own checks are."""

    def checks_of(self, file: Path, copy: Copy) -> tuple[list[str], float]:
        """Those that concern an example, the quickest first, and what they may take.

        Raises `Unsound` with pytest's words if there are none, or if they fail without any
        change.
        """
        lines = file.read_text().splitlines(keepends=True)
        docstring = ast.parse(file.read_text()).body[0].end_lineno
        broken = "".join([*lines[:docstring], "raise SystemExit\n", *lines[docstring:]])
        told = copy.run(self._page, file, broken, self.files)[1]
        chosen = _tests(told, "FAILED|ERROR")
        if not chosen:
            raise Unsound(f"{file}: no check notices that it cannot be run:\n{told}")
        start = time.monotonic()
        code, told = copy.run(
            self._page, file, file.read_text(), chosen, "--durations=0"
        )
        took = time.monotonic() - start
        if code:
            raise Unsound(f"{file}: its checks fail without any change:\n{told}")
        seconds: dict[str, float] = defaultdict(float)
        for spent, test in re.findall(r"^([\d.]+)s \w+ +(.*?)$", told, re.MULTILINE):
            seconds[_whole(test)] += float(spent)
        return sorted(chosen, key=lambda test: seconds[test]), FACTOR * took + MORE

    def try_out(
        self, mutant: Mutant, checks: Sequence[str], timeout: float, copy: Copy
    ) -> Verdict:
        """Run the checks with that change, until one fails."""
        code, told = copy.run(
            self._page, mutant.file, mutant.code, checks, "-x", timeout=timeout
        )
        if code is None:
            return Verdict("timed out")
        if not code:
            return Verdict("survived")
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", told, re.MULTILINE)
        return Verdict("killed", failed[0] if failed else told.strip()[-200:])


class Unsound(Exception):
    """The checks of an example fail though nothing has been changed."""


def _tests(told: str, outcomes: str) -> list[str]:
    found = re.findall(rf"^(?:{outcomes}) (.*?)(?: - .*)?$", told, re.MULTILINE)
    return list(dict.fromkeys(_whole(test) for test in found))


def _whole(test: str) -> str:
    """The page of a block, since one block needs those before it; else the test itself."""
    file = test.partition("::")[0]
    return file if file.endswith(".md") else test


def chosen_files(page: str, since: str) -> list[Path]:
    """The examples of a page, those that have changed since a commit, or all.

    Raises `SystemExit` if there is no such page.
    """
    if page and page not in PAGES:
        sys.exit(f"no page {page}: see docs/")
    files = [file for each in [page] if page for file in examples_of(each)]
    files = files or [file for each in PAGES for file in examples_of(each)]
    if since:
        command = ["git", "diff", "--name-only", since, "--", "examples"]
        names = subprocess.check_output(command, cwd=ROOT, text=True).split()
        files = [file for file in files if str(file.relative_to(ROOT)) in names]
    return [file for file in files if not file.name.startswith("test_")]


def kept(database: WorkDB, states: dict[str, str]) -> Iterator[tuple[str, Verdict]]:
    """What is known of mutants, by their id; not of survivors of other checks."""
    for job, result in database.results:
        state, _, by = result.output.partition(" ")
        survived = result.test_outcome == TestOutcome.SURVIVED
        if survived and state not in states.values():
            continue
        timed_out = result.test_outcome == TestOutcome.INCOMPETENT
        outcome = "survived" if survived else "timed out" if timed_out else "killed"
        yield job, Verdict(outcome, by)


def keep(database: WorkDB, mutant: Mutant, verdict: Verdict, state: str) -> None:
    """Write down what became of a mutant."""
    outcome = {
        "survived": TestOutcome.SURVIVED,
        "timed out": TestOutcome.INCOMPETENT,
        "killed": TestOutcome.KILLED,
    }[verdict.outcome]
    if mutant.id not in {item.job_id for item in database.work_items}:
        where = mutant.file.relative_to(ROOT)
        spec = MutationSpec(where, mutant.operator, mutant.occurrence, *mutant.position)
        database.add_work_item(WorkItem.single(mutant.id, spec))
    said = WorkResult(WorkerOutcome.NORMAL, f"{state} {verdict.by}", outcome)
    database.set_result(mutant.id, said)


def run(files: Sequence[Path]) -> bool:
    """Try the mutants of these examples; whether one survived without a reason.

    Ended by Ctrl+C or SIGTERM, it leaves neither a copy nor a process behind.
    """
    pages = {file: page_of_file(file) for file in files}
    survived = False
    for page in dict.fromkeys(pages.values()):
        wrong = unmatched(page)
        print(*wrong, sep="\n", end="\n" if wrong else "")
        survived |= bool(wrong)
    FOUND.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        use_db(FOUND) as database,
        ThreadPoolExecutor(JOBS) as threads,
    ):
        os.chmod(folder, 0o755)  # PostgreSQL's user is another one
        copies = Queue[Copy]()
        try:
            for number in range(min(JOBS, len(files))):
                copies.put(Copy(Path(folder, str(number))))
            found = threads.map(
                lambda file: _run_example(file, pages[file], copies, database), files
            )
            survived |= any([*found])  # of all, not of those up to the first
        except KeyboardInterrupt:
            threads.shutdown(wait=False, cancel_futures=True)
            kill_tree(os.getpid(), children_only=True)
            raise
        while not copies.empty():
            copies.get().close()
    return survived


def _run_example(file: Path, page: str, copies: Queue[Copy], database: WorkDB) -> bool:
    reasons = equivalents_of(page)
    every = mutants_of_its_own(file, page)
    mutants = [
        mutant
        for mutant in every
        if (file.stem, mutant.line, mutant.becomes) not in reasons
    ]
    trial = Trial(page)
    with _ONE_AT_A_TIME:
        known = dict(kept(database, {page: trial.state}))
    left = [mutant for mutant in mutants if mutant.id not in known]
    name = file.relative_to(ROOT)
    copy = copies.get()
    try:
        checks, timeout = trial.checks_of(file, copy) if left else ([], 0)
        for mutant in left:
            known[mutant.id] = verdict = trial.try_out(mutant, checks, timeout, copy)
            with _ONE_AT_A_TIME:
                keep(database, mutant, verdict, trial.state)
                print(f"{verdict.outcome:9} {mutant} {verdict.by}", flush=True)
    except Unsound as wrong:
        print(wrong, flush=True)
        return True
    finally:
        copies.put(copy)
    with _ONE_AT_A_TIME:
        verdicts = {mutant: known[mutant.id] for mutant in mutants}
        _report(name, verdicts, len(every))
    return any(verdict.outcome == "survived" for verdict in verdicts.values())


def _report(name: Path, verdicts: dict[Mutant, Verdict], all_of_them: int) -> None:
    count = Counter(verdict.outcome for verdict in verdicts.values())
    equivalent = all_of_them - len(verdicts)
    print(
        f"{name}: {all_of_them} mutants, {count['killed']} killed, "
        f"{count['timed out']} timed out, {count['survived']} survived, "
        f"{equivalent} equivalent"
    )
    by = Counter(v.by for v in verdicts.values() if v.outcome == "killed")
    for test, times in by.most_common():
        print(f"  {times:4} by {test}")
    for mutant, verdict in verdicts.items():
        if verdict.outcome != "killed":
            print(f"  {verdict.outcome}: {mutant}")


def main() -> Any:
    """Try the mutants that the command line asks for; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="make mutants")
    parser.add_argument("--page", default="")
    parser.add_argument("--since", default="")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return int(run(chosen_files(asked.page, asked.since)))


if __name__ == "__main__":
    sys.exit(main())
