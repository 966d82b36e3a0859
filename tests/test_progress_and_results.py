"""The statements of docs/progress-and-results.md."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest
from playwright.sync_api import Browser

from runner import Server, client, new_client, serve
from tests.copying import changed


def states(client: httpx.Client, address: str) -> Iterator[dict[str, object]]:
    """Every answer of the address that differs from the one before, to the last."""
    seen = None
    while seen is None or seen["status"] == "running":
        before, seen = seen, client.get(address).json()
        if seen != before:
            yield seen


def last_state(server: Server, path: str) -> dict[str, object]:
    with new_client(base_url=server.url) as client:
        address = client.post(path).headers["location"]
        return list(states(client, address))[-1]


def test_the_answer_is_202_and_names_the_address_of_the_status():
    """The answer comes while the task runs: `202`, with the address of the status in `Location`."""
    with serve("examples.progress_and_results.in_memory:app") as server:
        answer = client.post(f"{server.url}/reports/2026")
        address = answer.headers["location"]
        status = client.get(server.url + address).json()
    assert answer.status_code == 202
    assert status["status"] == "running"


@pytest.mark.slow
def test_polls_see_the_progress_and_then_the_result():
    """Polls see the percentage grow, then the result."""
    with (
        serve("examples.progress_and_results.in_memory:app") as server,
        new_client(base_url=server.url) as client,
    ):
        address = client.post("/reports/2026").headers["location"]
        seen = list(states(client, address))
    percents = [state["percent"] for state in seen]
    assert percents == sorted(set(percents))
    assert len(percents) > 2
    assert seen[-1] == {"status": "done", "percent": 100, "rows": 12, "error": None}


@pytest.mark.slow
def test_the_client_reads_an_error_that_it_can_mend():
    """The client reads the error of a request that it can mend."""
    with serve("examples.progress_and_results.in_memory:app") as server:
        state = last_state(server, "/reports/1999")
    assert state["status"] == "failed"
    assert state["error"] == "there are no orders of 1999"


@pytest.mark.slow
def test_of_any_other_error_it_reads_that_it_failed_and_the_log_has_the_rest():
    """Of any other error it reads “internal error”; the log has the traceback, and nothing leaves the task."""
    with serve("examples.progress_and_results.in_memory:app") as server:
        state = last_state(server, "/reports/2030")
        server.wait_for("report of 2030 failed")
        server.wait_for("ZeroDivisionError")
        server.stop()
        assert not any("Exception in ASGI" in line.text for line in server.lines)
    assert state["status"] == "failed"
    assert state["error"] == "internal error"


def test_an_unknown_id_gets_404_with_a_sentence():
    """An unknown id gets `404` and a sentence."""
    with serve("examples.progress_and_results.in_memory:app") as server:
        answer = client.get(f"{server.url}/reports/7")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "There is no report 7."}


def polls(server: Server, path: str) -> Counter[int]:
    """The status codes of 100 polls for one report, each over a connection of its own."""
    address = server.url + client.post(server.url + path).headers["location"]
    return Counter(client.get(address).status_code for _ in range(100))


@pytest.mark.slow
def test_with_four_workers_most_polls_of_a_dict_get_404():
    """With four workers, more than half of 100 polls get `404`."""
    target = "examples.progress_and_results.in_memory:app"
    with serve(target, "--workers", "4") as server:
        server.wait_for("Application startup complete", nth=4)
        seen = polls(server, "/reports/2026")
    assert set(seen) <= {200, 404}
    assert seen[404] > 50


@pytest.mark.slow
def test_with_four_workers_and_sqlite_every_poll_finds_the_report(tmp_path: Path):
    """With SQLite each of 100 polls finds the report."""
    with serve(
        "examples.progress_and_results.in_sqlite:app",
        *("--workers", "4"),
        env={"DATABASE": str(tmp_path / "db")},
    ) as server:
        server.wait_for("Application startup complete", nth=4)
        assert polls(server, "/reports") == {200: 100}


@pytest.mark.slow
def test_a_report_that_has_expired_gets_410(tmp_path: Path):
    """What was there once gets `410`, what never was `404`."""
    settings = {"DATABASE": str(tmp_path / "db"), "KEEP_SECONDS": "0"}
    target = "examples.progress_and_results.in_sqlite:app"
    with serve(target, env=settings) as server:
        address = client.post(f"{server.url}/reports").headers["location"]
        running = client.get(server.url + address)
        server.wait_for("build_report: 1 done")
        expired = client.get(server.url + address)
        unknown = client.get(f"{server.url}/reports/2")
    assert running.status_code == 200
    assert expired.status_code == 410
    assert unknown.status_code == 404


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_its_report_at_running(tmp_path: Path):
    """A worker that is killed leaves its report at `running`, for ever."""
    settings = {"DATABASE": str(tmp_path / "db")}
    target = "examples.progress_and_results.in_sqlite:app"
    with serve(target, env=settings) as server:
        address = client.post(f"{server.url}/reports").headers["location"]
        server.stop(SIGKILL)
    with serve(target, env=settings) as server:
        second = client.post(f"{server.url}/reports").headers["location"]
        server.wait_for("build_report: 2 done")
        assert client.get(server.url + second).json()["status"] == "done"
        assert client.get(server.url + address).json()["status"] == "running"


def cancelled(server: Server, kind: str) -> str:
    """Cancel work as soon as it is there; the line that it ends with."""
    work = client.post(f"{server.url}/{kind}").json()["id"]
    assert client.delete(f"{server.url}/jobs/{work}").status_code == 202
    return server.wait_for("cancelled|done").text


def test_a_cancel_scope_ends_an_async_task_where_it_awaits():
    """The scope ends an `async def` task where it awaits, and lets no exception out."""
    with serve("examples.progress_and_results.cancel:app") as server:
        assert cancelled(server, "reports") == "build_report: cancelled"
        server.stop()
        assert not any("Error" in line.text for line in server.lines)


def test_a_flag_ends_a_def_task_at_its_next_step(tmp_path: Path):
    """The flag ends a `def` task where it looks at it: before its next picture."""
    target = "examples.progress_and_results.cancel:app"
    env = changed({}, tmp_path, target, {"sleep(0.1)": "sleep(1)"})
    with serve("changed:app", env=env) as server:
        line = cancelled(server, "albums")
    assert re.fullmatch(r"resize_album: cancelled before picture [1-9]", line)


@pytest.mark.slow
def test_work_that_is_not_cancelled_is_done_and_unknown_work_is_404():
    """Work that nobody cancels is done; unknown work gets `404`."""
    with serve("examples.progress_and_results.cancel:app") as server:
        assert client.delete(f"{server.url}/jobs/nothing").status_code == 404
        client.post(f"{server.url}/albums")
        client.post(f"{server.url}/reports")
        server.wait_for("build_report: done")
        server.wait_for("resize_album: done")


@pytest.mark.slow
def test_an_event_stream_tells_each_step_and_ends():
    """The stream has the percentages in order and ends with the work."""
    with serve("examples.progress_and_results.moving_bar:app") as server:
        address = client.post(f"{server.url}/reports/2026").headers["location"]
        stream = client.get(f"{server.url}{address}/events")
        done = client.get(server.url + address).json()
    events = [
        json.loads(line.removeprefix("data: "))
        for line in stream.text.splitlines()
        if line.startswith("data: ")
    ]
    percents = [event["percent"] for event in events]
    assert percents == sorted(percents)
    assert len(set(percents)) > 3
    assert events[-1] == done == {"status": "done", "percent": 100}


def test_the_stream_of_an_unknown_report_is_a_404():
    """Look for the report in a dependency, not in the generator: when that runs, the `200` has been sent."""
    with serve("examples.progress_and_results.moving_bar:app") as server:
        answer = client.get(f"{server.url}/reports/7/events")
    assert answer.status_code == 404


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_end_the_work():
    """A reader that leaves the stream does not end the work."""
    with serve("examples.progress_and_results.moving_bar:app") as server:
        address = client.post(f"{server.url}/reports/2026").headers["location"]
        with client.stream("GET", f"{server.url}{address}/events") as stream:
            next(stream.iter_lines())
        server.wait_for("build_report: done")


@pytest.mark.slow
@pytest.mark.parametrize("year", ["2026", "1999"])
def test_the_bar_in_a_browser_moves_until_the_work_has_ended(
    browser: Browser, year: str
):
    """In a browser the bar moves to the end, or to where the work failed."""
    with serve("examples.progress_and_results.moving_bar:app") as server:
        page = browser.new_page()
        page.route(
            "**/reports/2026",
            lambda route: route.continue_(url=f"{server.url}/reports/{year}"),
        )
        page.goto(server.url)
        page.evaluate(
            """() => {
                const bar = document.querySelector("progress")
                window.seen = []
                new MutationObserver(() => seen.push(bar.value))
                    .observe(bar, {attributes: true})
            }"""
        )
        page.get_by_role("button").click()
        end = "done" if year == "2026" else "there are no orders of 1999"
        page.get_by_text(end).wait_for()
        seen = page.evaluate("[...new Set(seen)]")
        page.close()
    assert seen == sorted(seen)
    assert (seen[-1] == 100) == (year == "2026")
    assert year == "1999" or len(seen) > 1  # it may have come late


def test_a_report_of_somebody_else_is_404():
    """The user who asked for the report reads its status. Another gets the same `404` as for an unknown id; without a token it is a `422`."""
    with serve("examples.progress_and_results.owned:app") as server:
        ada, eve = ({"Authorization": f"Bearer {who}"} for who in ("ada", "eve"))
        report = client.post(f"{server.url}/reports", headers=ada).json()["id"]
        url = f"{server.url}/reports/{report}"
        assert client.get(url, headers=ada).json()["status"] in ("running", "done")
        other, unknown = (
            client.get(address, headers=eve) for address in (url, f"{url}x")
        )
        assert client.get(url).status_code == 422
    assert other.status_code == unknown.status_code == 404
    assert other.text == unknown.text
