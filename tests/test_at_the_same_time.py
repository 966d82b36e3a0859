"""The statements of docs/at-the-same-time.md."""

import asyncio
import re
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
import pytest

from recording.model import Recording, load
from runner import Server, client, serve
from tests.copying import changed
from tests.load import post_at_once
from tests.services import in_a_thread
from tests.terminal import positions, stop_and_read


def most_at_once(name: str, function: str) -> int:
    """How many calls of a function ran at the same time in a recorded scene."""
    run = load(Recording, name).run
    calls = [call for call in run.calls if call.function == function]
    return max(
        sum(other.start <= call.start < other.end for other in calls) for call in calls
    )


TRIPS = "examples.at_the_same_time.all_results:app"


def test_two_services_are_asked_at_once_and_both_answer():
    """Both are asked before either has answered, and the response holds both results."""
    with serve(TRIPS) as server:
        answer = client.get(f"{server.url}/trips/paris")
        said = stop_and_read(server, "read_")
    assert answer.json() == {"weather": "rain", "trains": ["12:30", "13:30"]}
    assert [line.split()[-1] for line in said] == ["asked"] * 2 + ["answered"] * 2


@pytest.mark.slow
def test_one_that_fails_ends_the_other_and_one_that_hangs_is_a_504():
    """One service raises: the other is cancelled, and the response is a `404`. One that hangs is given up after two seconds, with a `504`."""
    with serve(TRIPS) as server:
        refused = client.get(f"{server.url}/trips/atlantis")
        given_up = client.get(f"{server.url}/trips/mars")
        said = stop_and_read(server, "read_weather")
    assert (refused.status_code, given_up.status_code) == (404, 504)
    assert said == ["read_weather: atlantis asked", "read_weather: mars asked"]


@pytest.mark.slow
def test_a_call_in_a_thread_goes_on_after_the_limit(tmp_path: Path):
    """A thread cannot be cancelled: the `504` comes at the limit, the call in the thread goes on to its end in its thread."""
    slow = {"time.sleep(0.3)": "time.sleep(6)"}
    with serve("changed:app", env=changed({}, tmp_path, TRIPS, slow)) as server:
        answer = client.get(f"{server.url}/trips/paris")
        server.wait_for("GET /trips/paris")
        ended, answered = positions(server, "read_trains: paris answered", "GET /trips")
    assert answer.status_code == 504
    assert answered < ended


@pytest.mark.parametrize("grouped", [True, False])
def test_what_a_plain_gather_has_started_goes_on_when_one_fails(grouped: bool):
    """Of two calls one fails. `gather` without `return_exceptions` raises at once, and the other goes on: with a session of its own it still writes, and nobody sees what it raises. A `TaskGroup` cancels it, and waits until it has ended."""
    ended = []

    async def fail() -> None:
        raise ConnectionError

    async def write() -> None:
        try:
            await asyncio.sleep(0.1)
            ended.append("written")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def both() -> None:
        if not grouped:
            await asyncio.gather(fail(), write())
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(write())

    async def request() -> None:
        with pytest.raises(ExceptionGroup if grouped else ConnectionError):
            await both()
        assert ended == (["cancelled"] if grouped else [])
        while not ended:
            await asyncio.sleep(0.01)

    in_a_thread(asyncio.wait_for(request(), 30)).result()
    assert ended == ["cancelled" if grouped else "written"]


def test_gather_answers_with_what_came():
    """`gather(…, return_exceptions=True)` gives the exception in place of the result, and cancels nothing. With `wait_for` around each, one that hangs is a part that is missing too."""
    with serve(TRIPS) as server:
        for city, parts in {
            "atlantis": {"weather": "rain", "trains": None},
            "mars": {"weather": None, "trains": ["12:30", "13:30"]},
        }.items():
            assert client.get(f"{server.url}/trips/{city}/parts").json() == parts
            server.wait_for(f"{city}: a part is missing")


def test_a_semaphore_lets_three_run_at_a_time():
    """The semaphore lets three run at a time, in the recorded run too."""
    assert most_at_once("at_the_same_time/a_few_at_a_time", "send_mail") == 3


@pytest.mark.slow
def test_one_that_hangs_is_given_up_and_the_others_are_sent():
    """A mail that hangs is given up after its own time limit; the others are sent."""
    with serve("examples.at_the_same_time.a_few_at_a_time:app") as server:
        client.post(f"{server.url}/newsletters/6")
        said = stop_and_read(server, "send_newsletter:")
    assert said == [
        "send_newsletter: mail 2: TimeoutError()",
        "send_newsletter: 5 of 6 sent",
    ]


@pytest.mark.slow
def test_at_the_time_limit_of_all_what_is_left_is_cancelled():
    """At the time limit of all, what still runs is cancelled and what waits never starts."""
    with serve("examples.at_the_same_time.a_few_at_a_time:app") as server:
        client.post(f"{server.url}/newsletters/50")
        said = stop_and_read(server, "send_newsletter:")
    assert said[1] == "send_newsletter: out of time"
    sent = re.fullmatch(r"send_newsletter: (\d+) of 50 sent", said[2])
    assert sent
    assert 0 < int(sent[1]) < 30


@pytest.mark.slow
def test_the_first_exception_cancels_the_rest_of_the_group():
    """The first exception cancels the rest of the group; `except*` catches it outside."""
    with serve("examples.at_the_same_time.one_fails:app") as server:
        client.post(f"{server.url}/all-or-nothing")
        said = stop_and_read(server, "all_or_nothing", "create_thumbnail")
    assert said == [
        "all_or_nothing: (ConnectionError('the mail server refused the connection'),)"
    ]


@pytest.mark.slow
def test_what_catches_its_own_exceptions_leaves_the_others_alone():
    """What catches its own exceptions leaves the others alone."""
    with serve("examples.at_the_same_time.one_fails:app") as server:
        client.post(f"{server.url}/each-on-its-own")
        said = stop_and_read(server, "try_to_send_mail", "create_thumbnail")
    assert said == [
        "try_to_send_mail: the mail server refused the connection",
        "create_thumbnail: done",
    ]


def test_a_task_that_nobody_holds_is_collected_while_it_waits():
    """A task that nobody holds is collected while it waits: it ends in the middle, and the log says “Task was destroyed but it is pending”."""
    with serve("examples.at_the_same_time.vanishes:app") as server:
        client.post(f"{server.url}/vanishes")
        answer = client.post(f"{server.url}/orders/7")
        server.wait_for("Task was destroyed but it is pending!")
        server.stop()
        assert not any("order 7" in line.text for line in server.lines)
    assert answer.json() == {"listeners": 0}


def test_a_task_that_is_held_goes_on():
    """A task that is held gets its order."""
    with serve("examples.at_the_same_time.vanishes:app") as server:
        client.post(f"{server.url}/kept")
        client.post(f"{server.url}/orders/7")
        server.wait_for("print_labels: order 7")


@pytest.mark.slow
def test_a_failure_is_logged_when_it_happens():
    """The callback logs a failure when it happens, with its traceback."""
    with serve("examples.at_the_same_time.held_and_awaited:app") as server:
        client.post(f"{server.url}/prices/0")
        server.wait_for(r"refresh_prices at .* failed")
        server.wait_for("ZeroDivisionError")


@pytest.mark.slow
def test_at_shutdown_they_have_two_seconds_and_then_are_cancelled():
    """At shutdown they have two seconds; what needs longer is cancelled."""
    with serve("examples.at_the_same_time.held_and_awaited:app") as server:
        client.post(f"{server.url}/prices/1.25")
        client.post(f"{server.url}/prices/60")
        server.stop()
        asked, done, cancelled = positions(
            server, "Shutting down", "refresh_prices: 8.0", "lifespan: 1 cancelled"
        )
    assert asked < done < cancelled


def fill(server: Server) -> list[httpx.Response]:
    """Ask for reports of ten seconds until the queue is full; the answers."""
    answers = [client.post(f"{server.url}/reports/100")]
    while answers[-1].status_code == 202 and len(answers) < 10:
        answers.append(client.post(f"{server.url}/reports/100"))
    return answers


def test_a_full_queue_answers_503_and_says_when_to_come_back():
    """When the queue is full the answer is `503` with `Retry-After`, at once."""
    with serve("examples.at_the_same_time.bounded_queue:app") as server:
        *accepted, answer = fill(server)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["detail"].startswith("Too many reports are waiting")
    assert len(accepted) == 7  # two at work and five waiting


def test_two_workers_run_two_reports_at_a_time():
    """The two workers run two reports at a time, however many wait."""
    assert most_at_once("at_the_same_time/bounded_queue", "build_report") == 2


def test_a_worker_outlives_a_report_that_fails():
    """A worker logs what fails and takes the next."""
    with serve("examples.at_the_same_time.bounded_queue:app") as server:
        for pages in (0, 0, 0, 1):
            client.post(f"{server.url}/reports/{pages}")
        server.wait_for("report of 0 pages failed", nth=3)
        server.wait_for("build_report: 100 rows a page")


@pytest.mark.slow
def test_at_shutdown_the_queue_runs_empty():
    """At shutdown no request is accepted any more, and what was accepted is done."""
    with serve("examples.at_the_same_time.bounded_queue:app") as server:
        for _ in range(6):
            client.post(f"{server.url}/reports/5")
        server.stop()
        asked, done = positions(server, "Shutting down", "lifespan: all done")
        reports = [i for i, x in enumerate(server.lines) if "20 rows" in x.text]
    assert len(reports) == 6
    assert asked < reports[-1] < done


@pytest.mark.slow
@pytest.mark.parametrize("option", [[], ["--timeout-graceful-shutdown", "1"]])
def test_the_drain_has_a_limit_of_its_own(option: list[str]):
    """The drain gives up after its own two seconds; uvicorn's `--timeout-graceful-shutdown` does not count there."""
    target = "examples.at_the_same_time.bounded_queue:app"
    with serve(target, *option) as server:
        for _ in range(4):
            client.post(f"{server.url}/reports/100")
        server.stop()
        asked = server.wait_for("Shutting down")
        given_up = server.wait_for("lifespan: out of time, 2 not even begun")
    assert given_up.time - asked.time > 1.5


LABELS = "examples.at_the_same_time.limit_of_a_process:app"


@pytest.mark.slow
def test_a_limit_at_module_level_holds_for_all_requests():
    """A semaphore at module level lets one task run at a time, of whichever request, in the order in which they came."""
    with serve(LABELS) as server:
        for number in range(4):
            client.post(f"{server.url}/labels/{number}")
        server.wait_for("print_label: . done", nth=4)
        printed = stop_and_read(server, "print_label")
    assert [line.split()[1:3] for line in printed] == [
        [str(number), event] for number in range(4) for event in ("started", "done")
    ]


@pytest.mark.slow
def test_each_worker_has_a_limit_of_its_own():
    """With `--workers 2` two run at the same time: each process has a semaphore of its own."""
    with serve(LABELS, "--workers", "2") as server:
        overlap = False
        while not overlap:  # until both workers have got a request
            seen = len(server.lines)
            post_at_once(server, "/labels/1", 6)
            server.wait_for("print_label: 1 done", nth=6, start=seen)
            said = " ".join(line.text for line in server.lines[seen:])
            events = re.findall(r"print_label: 1 (started|done) by (\d+)", said)
            overlap = any(
                (first[0], second[0]) == ("started", "started")
                and first[1] != second[1]
                for first, second in pairwise(events)
            )


@pytest.mark.slow
def test_tasks_that_wait_hold_their_arguments():
    """Two hundred tasks that wait, with a megabyte each, make the process grow by more than 150 megabytes. Every client has had its `202`."""
    with serve("examples.at_the_same_time.waiting_tasks:app") as server:
        process = psutil.Process(server.process.pid)
        label = {"content": bytes(1_000_000), "headers": {"Content-Type": "image/png"}}
        client.post(f"{server.url}/labels", **label)
        before = process.memory_info().rss
        answers = {
            client.post(f"{server.url}/labels", **label).status_code for _ in range(200)
        }
        grown = process.memory_info().rss - before
        client.post(f"{server.url}/printer")
        server.wait_for("print_label: 1000000 bytes", nth=201)
    assert answers == {202}
    assert grown > 150_000_000
