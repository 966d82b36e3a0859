"""Lighthouse on every page, on demand: ``make lighthouse``. Its bounds are in lighthouse.cjs.

``python -m tests.site.lighthouse /choosing/`` looks at one page.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from runner.process import ROOT
from tests.site.building import CHROMIUM, build, serve_static
from tests.test_browser import PATHS

LHCI = ROOT / "node_modules/.bin/lhci"


def main(paths: list[str]) -> int:
    """Return how many of the devices have a page with a score that is too low."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / "site")
        with serve_static(folder / "site") as server:
            urls = [f"--collect.url={server.url}{path}" for path in paths]
            config = f"--config={Path(__file__).with_suffix('.cjs')}"
            chrome = {"CHROME_PATH": str(CHROMIUM)}
            return sum(
                subprocess.call(
                    [LHCI, "autorun", config, *urls],
                    cwd=folder,  # for its reports
                    env={**os.environ, **chrome, "DEVICE": device},
                )
                for device in ("mobile", "desktop")
            )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or PATHS))
