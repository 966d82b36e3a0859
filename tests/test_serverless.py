"""The statements of docs/serverless.md."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM

import pytest

from runner import Server, client, serve
from runner.process import PATIENCE, PYTHON, Line, freeze, start
from tests.on_lambda import NO_LOOP, deployed
from tests.terminal import positions

pytestmark = pytest.mark.slow

MANGUM = "examples.serverless.behind_mangum.handler"
WITHOUT_LIFESPAN = "examples.serverless.behind_mangum.without_lifespan"
AZURE = "examples.serverless.behind_azure:app"
ANSWERS_FIRST = "examples.serverless.answers_first:app"
SPANS = "examples.serverless.spans_sent:app"
QUEUE = "examples.serverless.called_by_a_queue:app"
ASLEEP = "examples.serverless.asleep_at_three:app"

FROZEN = 2.0
"""Seconds for which a process is stopped."""


def beginning_with(server: Server, text: str) -> list[Line]:
    """Its lines with what begins so, so far; two threads may have printed on one line."""
    return [line for line in server.lines if text in line.text]


def test_on_lambda_the_client_waits_for_the_task():
    """The answer comes after the task: an order whose receipt takes a second is answered after a second."""
    with deployed(MANGUM) as function:
        answer = function.invoke("POST", "/orders/tea")
        order = positions(function.process, "receipt: tea started", "tea done")
    assert answer.seconds >= 1
    assert answer.content["statusCode"] == 202
    assert order == sorted(order)


def test_under_uvicorn_the_same_app_answers_before_the_task_is_done():
    """Under uvicorn the same app answers before the task is done."""
    with serve("examples.serverless.behind_mangum:app") as server:
        server.expect(NO_LOOP)
        client.post(f"{server.url}/orders/tea")
        received = time.monotonic()
        assert received < server.wait_for("send_receipt: tea done").time


def test_on_lambda_a_task_that_fails_is_a_success():
    """A task that raises is a line in the log: the client has its `202`, and for Lambda the invocation has succeeded."""
    with deployed(MANGUM) as function:
        answer = function.invoke("POST", "/orders/coffee")
        function.process.wait_for("ERROR.*An error occurred running the application")
        function.process.wait_for("^ConnectionError: the mail server refused")
    assert answer.succeeded
    assert answer.content["statusCode"] == 202


def test_on_lambda_the_lifespan_begins_and_ends_with_each_event():
    """The lifespan begins and ends with each event."""
    with deployed(MANGUM) as function:
        for _ in range(2):
            function.invoke("POST", "/orders/tea")
        function.remove()
        lines = [line.text for line in beginning_with(function.process, "lifespan: ")]
    assert lines == ["lifespan: begins", "lifespan: ends"] * 2


def test_with_lifespan_off_it_never_runs():
    """With `lifespan="off"` it never runs."""
    with deployed(WITHOUT_LIFESPAN) as function:
        answer = function.invoke("POST", "/orders/tea")
        function.remove()
        assert not beginning_with(function.process, "lifespan: ")
    assert answer.content["statusCode"] == 202


def test_between_events_nobody_runs_the_loop():
    """Between events nobody runs the event loop: what `create_task` has begun stands still, even where the process is not frozen and its threads go on."""
    with deployed(MANGUM, freezes=False) as function:
        assert function.invoke("POST", "/exports").seconds < 3  # of thirty pages
        function.invoke("POST", "/prices")
        function.wait_until_frozen()  # it asks for the next event
        asked = len(function.process.lines)
        first, last = (
            function.process.wait_for("watch_prices: price", start=asked, nth=nth)
            for nth in (1, 8)
        )
        between = [
            x for x in function.process.lines if first.time <= x.time <= last.time
        ]
        assert len(between) >= 8
        assert not any("export_pages" in line.text for line in between)


def test_it_goes_on_in_the_next_event():
    """It goes on while the next event is worked on, from where it stood."""
    with deployed(MANGUM) as function:
        function.invoke("POST", "/exports")
        function.invoke("POST", "/orders/tea")
        order = positions(
            function.process, "receipt: tea started", "pages: page 3", "tea done"
        )
        function.remove()
        pages = beginning_with(function.process, "export_pages")
    assert order == sorted(order)
    assert numbers(pages)[0] == 1
    assert len(pages) < 30


def ordered_on_azure(*items: str) -> list[str]:
    """What an app prints that Azure's worker calls with an order for each, in a new process."""
    paths = [f"/orders/{item}" for item in items]
    function_app = AZURE.replace(":app", ":function_app")
    command = (*PYTHON, "tests.on_azure", function_app, *paths)
    with start(command, ready=f"{paths[-1]}: ") as process:
        process.expect("Failed ASGI shutdown")  # it is cancelled: nobody ends it
        process.wait()
        return [line.text for line in process.lines]


def test_on_azure_the_client_waits_for_the_task():
    """The answer comes after the task."""
    printed = ordered_on_azure("tea")
    assert printed.index("send_receipt: tea done") < printed.index("/orders/tea: 202")


def test_on_azure_a_task_that_fails_takes_the_answer_with_it():
    """A task that raises is a function that failed: the platform gets the exception in place of the `202`. Under uvicorn the same request has its `202`."""
    failed = "ConnectionError('the mail server refused the connection')"
    assert f"/orders/coffee: {failed}" in ordered_on_azure("coffee")
    with serve(AZURE) as server:
        assert client.post(f"{server.url}/orders/coffee").status_code == 202
        server.wait_for("^ConnectionError: the mail server refused")


def test_on_azure_the_lifespan_begins_with_the_first_request():
    """The lifespan begins with the first request, once in a process."""
    printed = ordered_on_azure("tea", "tea")
    assert printed.count("/orders/tea: 202") == 2
    assert printed[0] == "lifespan: begins"
    assert printed.count("lifespan: begins") == 1


def longest_gap(begin: float, lines: list[Line]) -> float:
    """The longest time without a line, in seconds, from `begin` to the last one."""
    times = [begin, *(line.time for line in lines)]
    return max(b - a for a, b in pairwise(times))


def numbers(lines: list[Line]) -> list[int]:
    """The number of each page, price or round."""
    found = (re.findall(r": (?:page|price|round) (\d+)", line.text) for line in lines)
    return [int(number) for each in found for number in each]


def test_a_thread_is_frozen_with_its_function_and_goes_on_in_the_next_event():
    """A thread that a request has started is frozen with the process, and goes on in the next event from where it stood."""
    with deployed(MANGUM) as function:
        function.invoke("POST", "/prices")
        function.wait_until_frozen()
        begin = time.monotonic()
        time.sleep(FROZEN)
        function.invoke("POST", "/orders/tea")
        function.remove()
        prices = beginning_with(function.process, "watch_prices")
    assert longest_gap(begin, prices) > FROZEN / 2
    assert numbers(prices) == [*range(1, len(prices) + 1)]
    assert len(prices) < 30


@pytest.mark.parametrize(
    ("path", "work"), [("/exports", "export_pages"), ("/prices", "watch_prices")]
)
def test_a_frozen_task_or_thread_goes_on_with_the_next_request(path: str, work: str):
    """Frozen after the response, a task stands still, and so does a thread. With the next request it goes on from where it stood, to its end, and no error is logged."""
    with serve(ANSWERS_FIRST) as server:
        client.post(server.url + path)
        server.wait_for(f"{work}: started")
        begin = time.monotonic()
        with server.frozen():
            time.sleep(FROZEN)
        client.get(f"{server.url}/ping")
        server.wait_for(f"{work}: done")
        lines = beginning_with(server, f"{work}: p")
        server.stop()
        assert "Error" not in server.transcript()
    assert longest_gap(begin, lines) > FROZEN / 2
    assert numbers(lines) == [1, 2, 3, 4, 5]


def test_a_time_limit_goes_on_counting():
    """A time limit goes on counting: a task that is woken too late is given up."""
    with serve(ANSWERS_FIRST) as server:
        client.post(f"{server.url}/exports-with-a-limit")
        server.wait_for("export_pages: started")
        with server.frozen():
            time.sleep(3)
        client.get(f"{server.url}/ping")
        server.wait_for("export_within: gave up")
        assert "export_pages: done" not in server.transcript()


def test_work_before_the_answer_is_done_when_the_client_has_it():
    """Awaited before the answer, the work is done when the process is frozen."""
    with serve(ANSWERS_FIRST) as server:
        client.post(f"{server.url}/exports-before-the-answer")
        freeze(server.process.pid)
        server.wait_for("export_pages: done")


SENT = {"POST /orders", "fastapi.background_task"}
"""Two of the spans, which end with the response and with the task."""

LATE = {"OTEL_BSP_SCHEDULE_DELAY": "300000"}
"""Spans are not sent by themselves during a test, however slow the machine is."""


def sent(server: Server) -> set[str]:
    """The names of the spans that have been sent."""
    lines = beginning_with(server, "sent: ")
    return {line.text.removeprefix("sent: ") for line in lines}


def test_spans_of_a_frozen_process_are_sent_when_it_is_woken():
    """The spans of a process that is frozen after its response are sent when it is woken; none is lost."""
    soon = {"OTEL_BSP_SCHEDULE_DELAY": "1000"}
    with serve(SPANS, env=soon) as server:
        server.expect(NO_LOOP)
        client.post(f"{server.url}/orders")
        with server.frozen():
            time.sleep(FROZEN)
        for name in SENT:
            server.wait_for(f"sent: {name}")


def test_spans_of_a_frozen_process_that_is_killed_are_lost():
    """If it is killed while it is frozen, they are lost."""
    with serve(SPANS, env=LATE) as server:
        server.expect(NO_LOOP)
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: done")
        freeze(server.process.pid)
        server.stop(SIGKILL)
    assert not sent(server)


def test_after_a_SIGTERM_the_provider_sends_nothing_by_itself():
    """After a `SIGTERM` the provider sends nothing by itself: uvicorn ends by the signal, and Python calls no exit handler."""
    with serve(SPANS, "--lifespan", "off", env=LATE) as server:
        server.expect(NO_LOOP)
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: done")
        assert server.stop() == -SIGTERM
    assert not sent(server)


def test_the_lifespan_sends_them():
    """The lifespan sends them."""
    with serve(SPANS, env=LATE) as server:
        server.expect(NO_LOOP)
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: done")
        server.stop()
    assert sent(server) >= SENT


def test_behind_mangum_it_does_so_after_each_event():
    """Behind Mangum it does so at the end of each event; with `lifespan="off"` nobody does."""
    for handler, expected in [("handler", 2), ("without_lifespan", 0)]:
        with deployed(f"examples.serverless.spans_sent.{handler}", env=LATE) as it:
            for _ in range(2):
                it.invoke("POST", "/orders")
            it.remove()
            tasks = [x for x in it.process.lines if "background_task" in x.text]
        assert len(tasks) == expected


def deliver(*servers: Server, job: str) -> list[int]:
    """As a queue: call one server after the other until an answer is a 2xx. All statuses."""
    statuses: list[int] = []
    for server in servers:
        server.expect("the mail server refused the connection")
    deadline = time.monotonic() + PATIENCE
    for server in cycle(servers):
        statuses.append(client.post(f"{server.url}/jobs/{job}").status_code)
        if statuses[-1] < 300:
            return statuses
        assert time.monotonic() < deadline, statuses
        time.sleep(0.1)
    raise AssertionError("no server")


def done(job: str, *servers: Server) -> int:
    """How often the work of a job was done, when the servers have been stopped."""
    for server in servers:
        server.stop()
    texts = [line.text for server in servers for line in server.lines]
    return texts.count(f"send_digest: {job} done")


@contextmanager
def two_instances(folder: Path, **env: str) -> Iterator[list[Server]]:
    """Two servers with one database, whose mail server has refused for the first time."""
    settings = {"DATABASE": f"{folder}/db", **env}
    with serve(QUEUE, env=settings) as one, serve(QUEUE, env=settings) as other:
        deliver(one, job="first")
        deliver(other, job="second")
        yield [one, other]


def test_a_job_that_fails_is_a_503_and_the_queue_calls_again(tmp_path: Path):
    """A job that fails is a `503`. The queue calls again, and it succeeds."""
    with serve(QUEUE, env={"DATABASE": f"{tmp_path}/db"}) as server:
        assert deliver(server, job="digest") == [503, 200]
        assert done("digest", server) == 1


def test_a_job_that_is_called_twice_is_done_once(tmp_path: Path):
    """Called twice, it is done once; the second call is a success as well."""
    with two_instances(tmp_path) as (one, other):
        answers = [
            client.post(f"{server.url}/jobs/digest").json() for server in (one, other)
        ]
        assert done("digest", one, other) == 1
    assert [a["message"] for a in answers] == [
        "digest is done",
        "digest was done before",
    ]


def test_a_job_that_is_called_twice_at_once_is_done_once(tmp_path: Path):
    """A call while another instance works on the job gets a `503`, so the queue calls once more; the work is done once."""
    with two_instances(tmp_path) as (one, other), ThreadPoolExecutor() as threads:
        first = threads.submit(client.post, f"{one.url}/jobs/digest")
        one.wait_for("send_digest: digest started")
        with one.frozen():
            meanwhile = client.post(f"{other.url}/jobs/digest").status_code
        again = deliver(other, job="digest")
        assert first.result().status_code == again[-1] == 200
        assert meanwhile == 503
        assert done("digest", one, other) == 1


def test_of_ten_calls_at_once_one_does_the_work(tmp_path: Path):
    """Of ten calls at the same moment one does the work."""
    with two_instances(tmp_path) as (one, other), ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(deliver, one, other, job="digest") for _ in range(10)]
        assert all(call.result()[-1] == 200 for call in calls)
        assert done("digest", one, other) == 1


def test_the_job_of_an_instance_that_was_killed_is_done_when_its_lease_is_over(
    tmp_path: Path,
):
    """The instance is killed in the middle: the job is done by another, once the lease is over."""
    with (
        two_instances(tmp_path, LEASE="3") as (one, other),
        ThreadPoolExecutor() as threads,
    ):
        call = threads.submit(client.post, f"{one.url}/jobs/digest")
        one.wait_for("send_digest: digest started")
        one.kill()
        assert call.exception()
        deliver(other, job="digest")
        assert (done("digest", one), done("digest", other)) == (0, 1)


def test_an_instance_whose_lease_is_over_does_not_release_the_next_ones(
    tmp_path: Path,
):
    """An instance that fails after its lease does not release the job of the one that has it now."""
    settings = {"DATABASE": f"{tmp_path}/db", "LEASE": "4"}
    with (
        serve(QUEUE, env=settings) as late,
        serve(QUEUE, env=settings) as other,
        ThreadPoolExecutor() as threads,
    ):
        late.expect("the mail server refused the connection")
        first = threads.submit(client.post, f"{late.url}/jobs/digest")
        late.wait_for("send_digest: digest started")
        with late.frozen():
            second = threads.submit(deliver, other, job="digest")
            other.wait_for("send_digest: digest started")
            freeze(other.process.pid)
        assert first.result().status_code == 503
        assert client.post(f"{late.url}/jobs/digest").status_code == 503
        assert late.transcript().count("digest started") == 1
        other.process.send_signal(SIGCONT)
        assert second.result()[-1] == 200


def test_a_run_that_was_due_while_the_app_slept_is_missed():
    """A run that was due while the app slept, and is more than a second late when it is woken, is missed: the log says so."""
    with serve(ASLEEP) as server:
        server.wait_for("poll_inbox: round 1")
        with server.frozen():
            time.sleep(4.5)
        server.wait_for('"send_digest .*was missed by 0:00:0[1-9]')
        server.stop()
        assert not beginning_with(server, "send_digest: ")


def test_a_loop_stands_still_and_makes_up_for_nothing():
    """A loop stands still while the app sleeps, goes on with the next round when it is woken, and makes up for none."""
    with serve(ASLEEP) as server:
        server.wait_for("poll_inbox: round 1")
        begin = time.monotonic()
        with server.frozen():
            time.sleep(FROZEN)
        server.wait_for("poll_inbox: round 5")
        rounds = beginning_with(server, "poll_inbox")
    assert longest_gap(begin, rounds) > FROZEN / 2
    assert numbers(rounds)[:5] == [1, 2, 3, 4, 5]
    assert rounds[4].time - rounds[0].time > FROZEN
