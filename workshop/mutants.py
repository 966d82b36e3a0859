"""Changes the examples line by line, and says which change no check notices: ``make mutants``.

A mutant is one change by one operator of `workshop.operators`. Each is made in a copy of the
project and tried against the checks of its page: its claims, its session, a copy of the
example, its bounds, its recordings; of these against those that fail when the example cannot be imported,
the quickest first, until one fails. What was found is kept in ``.cache/mutants.sqlite``. It is
tried again when the example has changed; what survived, also when the page's checks have.

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
import os
import re
import shlex
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
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.testing import run_tests
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
from workshop.pages import DOCS, EXAMPLES, PAGES, claims_of, examples_of, page_of

FOUND = ROOT / ".cache/mutants.sqlite"
JOBS = 2
"""Mutants that are tried at the same time, each in a copy of its own."""
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


class Trial:
    """The checks of one page, and copies of the project to change an example in."""

    def __init__(self, page: str, copies: Sequence[Path]) -> None:
        self._page = page
        self._copies: Queue[Path] = Queue()
        for copy in copies:
            self._copies.put(copy)
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

    def checks_of(self, file: Path) -> tuple[list[str], float]:
        """Those that concern an example, the quickest first, and what they may take.

        Raises `SystemExit` with pytest's words if they fail without any change.
        """
        lines = file.read_text().splitlines(keepends=True)
        docstring = ast.parse(file.read_text()).body[0].end_lineno
        broken = "".join([*lines[:docstring], "raise SystemExit\n", *lines[docstring:]])
        told = self._run(file, broken, self.files, f"-n{JOBS}")[1]
        chosen = _tests(told, "FAILED|ERROR")
        start = time.monotonic()
        outcome, told = self._run(
            file, file.read_text(), chosen, "-n0", "--durations=0"
        )
        took = time.monotonic() - start
        if outcome != TestOutcome.SURVIVED and chosen:
            sys.exit(f"{file}: its checks fail without any change:\n{told}")
        seconds: dict[str, float] = defaultdict(float)
        for spent, test in re.findall(r"^([\d.]+)s \w+ +(.*?)$", told, re.MULTILINE):
            seconds[_whole(test)] += float(spent)
        return sorted(chosen, key=lambda test: seconds[test]), FACTOR * took + MORE

    def try_out(self, mutant: Mutant, checks: Sequence[str], timeout: float) -> Verdict:
        """Run the checks with that change, until one fails."""
        if not checks:
            return Verdict("survived")
        outcome, told = self._run(
            mutant.file, mutant.code, checks, "-n0", "-x", timeout=timeout
        )
        if outcome == TestOutcome.SURVIVED:
            return Verdict("survived")
        if told == "timeout":
            return Verdict("timed out")
        failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", told, re.MULTILINE)
        return Verdict("killed", failed[0] if failed else told.strip()[-200:])

    def _run(
        self,
        file: Path,
        code: str,
        tests: Sequence[str],
        *options: str,
        timeout: float = 1200,
    ) -> tuple[TestOutcome, str]:
        copy = self._copies.get()
        try:
            changed = copy / file.relative_to(ROOT)
            changed.write_text(code)
            for compiled in changed.parent.glob(f"__pycache__/{file.stem}.*"):
                compiled.unlink()  # a change within a second may have the same size
            command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=line"]
            command += ["-p", "no:cacheprovider", "--show-capture=no", *options]
            command += ["-m", "queues or not queues", f"--basetemp={copy.parent}/tests"]
            there = f"cd {copy} && exec {shlex.join([*command, '--page', self._page, *tests])}"
            outcome: tuple[TestOutcome, str] = run_tests(
                shlex.join(["sh", "-c", there]), timeout
            )
            changed.write_text(file.read_text())
            return outcome
        finally:
            self._copies.put(copy)


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
    pages: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        pages[page_of(file.relative_to(EXAMPLES).with_suffix("").as_posix())].append(
            file
        )
    survived = False
    FOUND.parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        use_db(FOUND) as database,
        ThreadPoolExecutor(JOBS) as threads,
    ):
        try:
            copies = [
                copied(Path(folder, str(n), "copy"), installed=True)
                for n in range(JOBS)
            ]
            for page, examples in pages.items():
                wrong = unmatched(page)
                print(*wrong, sep="\n", end="\n" if wrong else "")
                survived |= bool(wrong)
                trial = Trial(page, copies)
                for file in examples:
                    survived |= _run_example(file, page, trial, database, threads)
        except KeyboardInterrupt:
            threads.shutdown(wait=False, cancel_futures=True)
            kill_tree(os.getpid(), children_only=True)
            raise
    return survived


def _run_example(
    file: Path, page: str, trial: Trial, database: WorkDB, threads: ThreadPoolExecutor
) -> bool:
    reasons = equivalents_of(page)
    mutants = [
        mutant
        for mutant in mutants_of(file)
        if (file.stem, mutant.line, mutant.becomes) not in reasons
    ]
    known = dict(kept(database, {page: trial.state}))
    left = [mutant for mutant in mutants if mutant.id not in known]
    name = file.relative_to(ROOT)
    if left:
        checks, timeout = trial.checks_of(file)
        print(f"{name}: {len(left)} of {len(mutants)} mutants, {len(checks)} checks")
        verdicts = threads.map(
            lambda mutant: trial.try_out(mutant, checks, timeout), left
        )
        for number, (mutant, verdict) in enumerate(zip(left, verdicts, strict=True), 1):
            keep(database, mutant, verdict, trial.state)
            known[mutant.id] = verdict
            print(f"{number:4} {verdict.outcome:9} {mutant} {verdict.by}", flush=True)
    _report(
        name, {mutant: known[mutant.id] for mutant in mutants}, len(mutants_of(file))
    )
    return any(known[mutant.id].outcome == "survived" for mutant in mutants)


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
