"""Lighthouse on every page, on demand: ``make audit``. Ends with 1 if a score is too low.

Scores depend on how busy the machine is, so this is no test: performance on mobile
is the median of three runs.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from runner.process import ROOT
from tests.site.building import CHROMIUM, build, serve_static
from tests.test_browser import PATHS

WANTED = {
    ("mobile", "performance"): 95,
    ("desktop", "performance"): 100,
    **{
        (device, category): 100
        for device in ("mobile", "desktop")
        for category in ("accessibility", "best-practices", "seo")
    },
}


def scores(url: str, device: str) -> dict[str, int]:
    """Run Lighthouse once; its scores are from 0 to 100."""
    flags = "--headless=new --no-sandbox --disable-background-networking"
    command = [
        ROOT / "node_modules/.bin/lighthouse",
        url,
        "--quiet",
        "--output=json",
        f"--chrome-flags={flags}",
        *(["--preset=desktop"] if device == "desktop" else []),
    ]
    output = subprocess.check_output(
        command, env={**os.environ, "CHROME_PATH": str(CHROMIUM)}
    )
    report: dict[str, Any] = json.loads(output)
    return {
        name: round(category["score"] * 100)
        for name, category in report["categories"].items()
    }


def main() -> int:
    """Print a line per page and device; return how many scores are too low."""
    too_low = 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        with serve_static(Path(folder)) as server:
            for path in PATHS:
                for device, runs in (("mobile", 3), ("desktop", 1)):
                    all_runs = [scores(server.url + path, device) for _ in range(runs)]
                    middle = {
                        name: median(run[name] for run in all_runs)
                        for name in all_runs[0]
                    }
                    missed = [
                        name
                        for name, score in middle.items()
                        if score < WANTED[device, name]
                    ]
                    too_low += len(missed)
                    print(f"{path:24}{device:9}", middle, *missed, flush=True)
    return too_low


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
