"""Measures all ways, or those whose titles hold one of the arguments: ``make bench``."""

import sys
import time
from dataclasses import asdict

from bench.trial import kill, speed
from bench.ways import WAYS
from recording.model import Bench, MadeWith, Outcome, save

NAME = "choosing/bench"
PACKAGES = ("fastapi", "uvicorn", "taskiq", "taskiq-aio-pika", "procrastinate", "dbos")


def main() -> None:
    """Measure; keep the figures if all ways were; fail where a page promises more."""
    wanted = sys.argv[1:] or [""]
    ways = [way for title, way in WAYS.items() if any(part in title for part in wanted)]
    steps, begin = sum(len(way.kills) + 1 for way in ways), time.monotonic()
    outcomes: list[Outcome] = []
    step = 0

    def progress(text: str) -> None:
        nonlocal step
        step += 1
        passed = time.monotonic() - begin
        print(f"{step:3} of {steps}, {passed:5.0f} s: {text}", flush=True)

    for way in ways:
        kills = {}
        for what in way.kills:
            progress(f"{way.title}, SIGKILL to: {what}")
            kills[what] = kill(way, what)
            print(
                "     ", {k: v for k, v in asdict(kills[what]).items() if k != "fates"}
            )
        progress(f"{way.title}, speed")
        fast = speed(way)
        print("     ", asdict(fast))
        outcomes.append(Outcome(way.name, way.settings, kills, fast))
    if len(ways) == len(WAYS):
        save(NAME, Bench(MadeWith.here(*PACKAGES), outcomes))
    wrong = [
        way.title
        for way, outcome in zip(ways, outcomes, strict=True)
        if not way.loses and any(killed.lost for killed in outcome.kills.values())
    ]
    if wrong:
        sys.exit(f"jobs were lost where the page says none: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
