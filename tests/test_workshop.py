"""A page that was begun is red; a scene of another shape is told in words."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from workshop.mistakes import TO_DO

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # six builds of the site


def test_a_page_that_was_begun_is_red_until_it_is_written(copy: Path):
    for page in ("temporary-files", "recipes/send-a-fax"):
        begun = run(copy, "workshop.new", page)
        assert begun.returncode == 0, begun.stderr
        places = re.findall(r"^([\w/.-]+:\d+): (.+)$", begun.stdout, re.MULTILINE)
        assert len(places) == 9
        built = run(copy, "mkdocs", "build", "--site-dir", str(copy / "site"))
        for place, what in places:
            assert f"{place}: as `make new` wrote it: {what}" in built.stderr
        scene = page.replace("-", "_") + ("" if "/" in page else "/first")
        assert f"no recording of {scene}: make record SCENE={scene}" in built.stderr
        assert f"{len(places) + 1} to mend, see above" in built.stderr

        for file in {place.partition(":")[0] for place, _ in places}:
            text = (copy / file).read_text().replace(TO_DO, "Written: ")
            (copy / file).write_text(text)
        assert run(copy, "workshop.record").returncode == 0
    built = run(copy, "mkdocs", "build", "--site-dir", str(copy / "site"))
    assert built.returncode == 0, built.stderr
    assert run(copy, "ruff", "format", "--check").returncode == 0


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("restarts", "there is a docs/restarts.md: choose another name"),
        ("Restarts!", "Restarts!: name a page in small letters"),
        ("", "name it: make new PAGE=two-words"),
    ],
)
def test_a_name_that_is_none_begins_no_page(copy: Path, page: str, message: str):
    begun = run(copy, "workshop.new", *filter(None, [page]))
    assert begun.returncode == 2
    assert begun.stderr.startswith(message)


def test_another_shape_is_told_in_words_and_kept_when_it_is_accepted(copy: Path):
    name = "multiple_tasks/each_on_its_own"
    example = copy / f"examples/{name}.py"
    kept = copy / f"docs/recordings/{name}.json"
    before = kept.read_text()
    assert run(copy, "workshop.record").stdout.startswith("nothing has changed")

    example.write_text(example.read_text().replace("ConnectionError", "TimeoutError"))
    refused = run(copy, "workshop.record")
    assert refused.returncode == 1
    assert (
        "fails with TimeoutError, fails with ConnectionError before" in refused.stdout
    )
    assert f"make record SCENE={name} ACCEPT=1" in refused.stdout
    assert kept.read_text() == before
    assert run(copy, "workshop.record", name, "--accept").returncode == 0
    assert "TimeoutError" in kept.read_text()

    example.write_text(f"{example.read_text()}\n\n# Nothing else.\n")
    before = kept.read_text()
    assert f"{name}: the same shape" in run(copy, "workshop.record").stdout
    changed = set(before.splitlines()) ^ set(kept.read_text().splitlines())
    assert all('"source"' in line for line in changed)


def test_a_scene_that_is_not_there_and_help_record_nothing(copy: Path):
    wrong = run(copy, "workshop.record", "multiple_tasks/in_ordr")
    assert wrong.returncode == 2
    assert "did you mean multiple_tasks/in_order?" in wrong.stderr
    assert "usage: make record" in run(copy, "workshop.record", "--help").stdout


def run(folder: Path, *module: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` in a copy of the project."""
    return subprocess.run(
        [sys.executable, "-m", *module], cwd=folder, capture_output=True, text=True
    )
