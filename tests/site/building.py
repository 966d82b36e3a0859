"""Builds and serves the site for the tests, and finds a browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from runner import Server, serve
from runner.process import ROOT
from tests.site.addresses import PUBLISHED, REPOSITORY

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)


def build(folder: Path, source: Path = ROOT, last_run: Path | None = None) -> None:
    """Build the site of the checkout `source` as it is published.

    The foot of each page tells what is in the file `last_run`, by default that of the
    checkout. Raises with MkDocs's words if it cannot be built.
    """
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder],
        cwd=source,
        env={
            **os.environ,
            "NO_MKDOCS_2_WARNING": "1",
            "SITE_URL": PUBLISHED,
            "REPOSITORY": REPOSITORY,
            **({"LAST_RUN": str(last_run)} if last_run else {}),
        },
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(result.stderr)


def serve_static(folder: Path) -> AbstractContextManager[Server]:
    """Serve a built site on a free port, compressed."""
    return serve("tests.site.static:app", "--no-access-log", env={"SITE": str(folder)})


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium that talks to no other host by itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-background-networking",
                "--disable-gpu",
                "--disable-gpu-compositing",
            ],
        )
        yield browser
        browser.close()
