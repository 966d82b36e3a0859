"""Runs the suite again and again, and counts per test how often it failed: ``make soak``.

``python -m tests.soak RUNS BUSY [pytest's arguments]``; BUSY is how many endless loops run
beside it. Ends with 1 if anything has failed.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from runner.process import ROOT


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that do nothing, as fast as they can, until the end of the block."""
    endless = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(endless) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def failed_of(report: Path) -> list[str]:
    """The names of the tests that failed in one run, from its JUnit report."""
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in ElementTree.parse(report).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def main() -> int:
    """Print a line for each run, and at the end one for each test that failed."""
    runs, loops, arguments = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    failures = Counter[str]()
    with tempfile.TemporaryDirectory() as folder, busy(loops):
        for run in range(1, runs + 1):
            report, begin = Path(folder, "report.xml"), time.monotonic()
            command = [sys.executable, "-m", "pytest", "-q", *arguments]
            with Path(folder, "log").open("w+") as log:
                code = subprocess.run(
                    [*command, f"--junitxml={report}"], cwd=ROOT, stdout=log, stderr=log
                ).returncode
                log.seek(0)
                text = log.read()
            failed = failed_of(report) if code < 2 else [f"pytest ended with {code}"]
            failures.update(failed)
            seconds = time.monotonic() - begin
            print(
                f"run {run} of {runs}, {seconds:.0f} s: {len(failed)} failed",
                flush=True,
            )
            if code:
                print(text, flush=True)
    print(f"{runs} runs beside {loops} busy loops:")
    for name, times in failures.most_common():
        print(f"{times:3} of {runs} failed: {name}")
    if not failures:
        print("nothing failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
