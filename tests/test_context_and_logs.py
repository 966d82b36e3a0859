"""The statements of docs/context-and-logs.md."""

import json
import re

import pytest

from runner import client, new_client, serve


@pytest.mark.parametrize("path", ["/async-endpoint", "/async-dependency"])
def test_a_task_sees_what_async_code_has_set(path: str):
    """A task sees a context variable that an `async def` endpoint or dependency has set."""
    with serve("examples.context_and_logs.what_a_task_sees:app") as server:
        client.post(server.url + path)
        assert server.wait_for("^set in").text.endswith(": ada")


@pytest.mark.parametrize("path", ["/def-endpoint", "/def-dependency"])
def test_a_task_does_not_see_what_def_code_has_set(path: str):
    """It does not see what a `def` endpoint or dependency has set: that ran in a thread, in a copy of the context."""
    with serve("examples.context_and_logs.what_a_task_sees:app") as server:
        client.post(server.url + path)
        assert server.wait_for("^set in").text.endswith(": nobody")


def test_what_an_async_task_sets_stays_for_the_next_task():
    """What an `async def` task sets stays for the tasks after it."""
    with serve("examples.context_and_logs.leaks:app") as server:
        client.post(f"{server.url}/async-task")
        assert server.wait_for("write_audit_log").text == "write_audit_log: ada"


def test_what_a_def_task_sets_is_gone_with_it():
    """What a `def` task sets is gone when it ends."""
    with serve("examples.context_and_logs.leaks:app") as server:
        client.post(f"{server.url}/def-task")
        assert server.wait_for("write_audit_log").text == "write_audit_log: nobody"


def test_one_request_leaves_nothing_behind_for_the_next():
    """One request leaves nothing behind for the next, also on the same connection."""
    with (
        serve("examples.context_and_logs.leaks:app") as server,
        new_client(base_url=server.url) as client,
    ):
        client.post("/async-task")
        server.wait_for("write_audit_log: ada")
        client.post("/def-task")
        server.wait_for("write_audit_log: nobody")


def test_the_lines_of_a_task_carry_the_id_of_its_request():
    """The lines of a task carry the id of its request, while another request is on its way."""
    with serve("examples.context_and_logs.request_id:app") as server:
        for _ in range(2):
            client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: done", nth=2)
        lines = [line.text for line in server.lines if line.text.startswith("[")]
    created = re.findall(r"\[(\w{8})\] create_order", "\n".join(lines))
    sent = re.findall(r"\[(\w{8})\] send_receipt", "\n".join(lines))
    assert len(set(created)) == 2
    assert sorted(created) == sorted(sent)


def test_a_structured_line_of_a_task_has_what_the_request_has_bound():
    """A task's line of JSON has what was bound in the request: the path, and the id that the client has sent."""
    with serve("examples.context_and_logs.structured_logs:app") as server:
        client.post(f"{server.url}/orders", headers={"x-request-id": "abc-1"})
        created = json.loads(server.wait_for("order created").text)
        sent = json.loads(server.wait_for("receipt sent").text)
    assert created["request_id"] == sent["request_id"] == "abc-1"
    assert sent["path"] == "/orders"
    assert sent["task"] == "send_receipt"


def test_each_task_has_a_span_of_its_own():
    """Each task has a span, with the name of its function and its duration; the span of the request ends with the response and does not include it."""
    with serve("examples.context_and_logs.spans:app") as server:
        client.post(f"{server.url}/orders")
        task = server.wait_for("fastapi.background_task")
        request = server.wait_for("s POST /orders")
    assert task.text.endswith("context_and_logs.spans.send_receipt")
    assert request.time < task.time
    assert float(request.text.split()[0]) < 0.5 <= float(task.text.split()[0])


def test_the_span_of_a_task_belongs_to_the_trace_of_its_request():
    """The span of a task belongs to the trace of its request, and to the caller's if it sent one."""
    trace_id = "1" * 32
    with serve("examples.context_and_logs.spans:app") as server:
        caller = {"traceparent": f"00-{trace_id}-{'2' * 16}-01"}
        client.post(f"{server.url}/orders", headers=caller)
        server.wait_for(f"send_receipt: trace {trace_id}")


def test_the_task_of_a_plain_response_has_no_span():
    """`Response(background=BackgroundTask(...))` gets no span for its task."""
    with serve("examples.context_and_logs.spans:app") as server:
        client.post(f"{server.url}/plain")
        server.wait_for("send_receipt: trace")
        server.stop()
        assert not any("background_task" in line.text for line in server.lines)
