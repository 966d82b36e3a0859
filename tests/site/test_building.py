"""The site refuses what is not there, reloads, and builds with Zensical too."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from runner import client
from runner.process import ROOT, free_port, start
from tests.site.building import build
from tests.site.built import Page, pages_of

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project's files, to be changed."""
    folder = tmp_path / "copy"
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    for name in listed.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.mark.parametrize(
    "wrong",
    [
        '```python\n--8<-- "multiple_tasks/in_order.py:no_such_function"\n```',
        "```proof\ntests/test_multiple_tasks.py::test_no_such_test\n```",
    ],
)
def test_a_page_that_names_what_is_not_there_fails_the_build(
    copy: Path, tmp_path: Path, wrong: str
):
    with (copy / "docs/conclusion.md").open("a") as page:
        page.write(f"\n\n{wrong}\n")
    with pytest.raises(RuntimeError, match=r"no_such|no-such"):
        build(tmp_path / "site", source=copy)


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


CHANGES = [
    ("docs/index.md", "# After the", "# Long after the", "/"),
    ("examples/multiple_tasks/in_order.py", "create_", "draw_", "/multiple-tasks/"),
    ("theme/overrides/assets/site.css", ":root", ":root, html", "/assets/site.css"),
    ("theme/proof.py", "<summary>", "<summary >", "/multiple-tasks/"),
]


@pytest.mark.timeout(600)
def test_a_change_is_served_without_a_restart(copy: Path):
    bin_folder = Path(sys.executable).parent
    made = ["--old-file=.venv/for-site", "runtime="]
    command = ["make", "serve", *made, f"in_venv={bin_folder}/"]
    with start([*command, f"PORT={free_port()}"], cwd=copy) as server:
        for part, old, new, where in CHANGES:
            before = client.get(server.url + where).text
            file = copy / part
            file.write_text(file.read_text().replace(old, new))
            deadline = time.monotonic() + 120
            while served(server.url + where) in (before, None):
                assert time.monotonic() < deadline, f"{where} stays as it was"
                time.sleep(0.1)


def served(url: str) -> str | None:
    """The text; None while the server restarts, as it does for the theme's code."""
    try:
        return client.get(url).text
    except httpx.TransportError:
        return None


def test_zensical_builds_the_same_pages_and_none_has_run_without_its_runtime(
    copy: Path, pages: list[Page]
):
    result = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean"],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    theirs = {page.path: page for page in pages_of(copy / "site")}
    assert theirs["/"].soup.select("svg.timeline")
    for page in theirs.values():  # a copy has no runtime
        assert not page.soup.find("run-scene")
    for ours in pages:
        assert theirs[ours.path].blocks == ours.blocks
        assert [p["id"] for p in theirs[ours.path].soup.select(".proof")] == [
            p["id"] for p in ours.soup.select(".proof")
        ]
