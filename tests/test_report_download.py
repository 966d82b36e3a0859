"""The statements of docs/recipes/report-download.md."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runner import Server, client, serve
from tests.load import REQUESTS, load

TARGET = "examples.recipes.report_download:app"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serve(TARGET, env={"REPORTS": str(tmp_path)}) as server:
        yield server


def test_the_report_is_downloaded_when_it_is_done(server: Server):
    """The status says `running`, then `done`; then the file is there, whole."""
    answer = client.post(f"{server.url}/reports/2026")
    address = server.url + answer.headers["location"]
    before, too_early = client.get(address), client.get(f"{address}/file")
    server.wait_for("build_in_a_process: 2026 done")
    after, file = client.get(address), client.get(f"{address}/file")
    assert answer.status_code == 202
    assert before.json() == {"status": "running"}
    assert too_early.status_code == 409
    assert after.json() == {"status": "done"}
    assert "report.csv" in file.headers["content-disposition"]
    assert len(file.text.splitlines()) == 13


@pytest.mark.parametrize("path", ["", "/file"])
def test_an_unknown_report_is_404(server: Server, path: str):
    """An unknown report gets `404`."""
    answer = client.get(f"{server.url}/reports/{'0' * 32}{path}")
    assert answer.status_code == 404


@pytest.mark.slow
def test_when_its_process_is_killed_the_report_has_failed_and_the_next_is_built(
    server: Server,
):
    """When the pool's process is killed, all its reports are `failed`, also those that wait; later ones are built by a new process."""
    client.post(f"{server.url}/reports/2025")
    server.wait_for("build_in_a_process: 2025 done")
    [worker] = [
        child
        for child in psutil.Process(server.process.pid).children()
        if "resource_tracker" not in " ".join(child.cmdline())
    ]
    worker.suspend()
    address = server.url + client.post(f"{server.url}/reports/2026").headers["location"]
    worker.kill()
    server.wait_for("report of 2026 failed")
    failed = client.get(address).json()
    client.post(f"{server.url}/reports/2027")
    server.wait_for("build_in_a_process: 2027 done")
    assert failed == {"status": "failed"}


@pytest.mark.slow
def test_every_worker_finds_the_report(tmp_path: Path):
    """The status is the file's name, so every worker finds it, and a restarted server too."""
    settings = {"REPORTS": str(tmp_path)}
    with serve(TARGET, "--workers", "2", env=settings) as server:
        path = client.post(f"{server.url}/reports/2026").headers["location"]
        server.wait_for("build_in_a_process: 2026 done")
        seen = {client.get(server.url + path).json()["status"] for _ in range(20)}
    with serve(TARGET, env=settings) as server:
        seen.add(client.get(server.url + path).json()["status"])
    assert seen == {"done"}


@pytest.mark.slow
def test_200_reports_are_built(server: Server, tmp_path: Path):
    """200 reports, 20 at a time: each is built once and whole."""
    answers = load(server.url, lambda client, _: client.post("/reports/2026"))
    assert {answer.status_code for answer in answers} == {202}
    server.wait_for("build_in_a_process: 2026 done", nth=REQUESTS, timeout=100)
    built = {file.stem for file in tmp_path.glob("*.csv")}
    assert built == {answer.json()["id"] for answer in answers}
    assert len({file.read_text() for file in tmp_path.iterdir()}) == 1
