"""The site is built quickly, and with Zensical too."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.site.built import Page, pages_of

pytestmark = pytest.mark.slow


def test_the_site_is_built_in_the_time_of_200_million_additions(site: Path):
    """It was 7 to 17 times ten million, idle and busy."""
    took = float(site.with_suffix(".seconds").read_text())
    assert took < 20 * max(ten_million_additions() for _ in range(3))


def ten_million_additions() -> float:
    """The seconds of a processor that they take: half of one on a quick machine."""
    before = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    return time.process_time() - before


def test_zensical_builds_the_same_pages_and_none_has_run_without_its_runtime(
    copy: Path, pages: dict[str, Page]
):
    result = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean"],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    theirs = pages_of(copy / "site")
    assert theirs["index"].soup.select("svg.timeline")
    for page in theirs.values():  # a copy has no runtime
        assert not page.soup.find("run-scene")
    for name, ours in pages.items():
        assert theirs[name].blocks == ours.blocks
        assert [p["id"] for p in theirs[name].soup.select(".proof")] == [
            p["id"] for p in ours.soup.select(".proof")
        ]
