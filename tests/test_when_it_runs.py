"""The statements of docs/when-it-runs.md."""

import socket
import time

import httpx
import pytest

from runner import client, new_client, serve
from tests.older import serve_with_fastapi
from tests.terminal import positions

both_parsers = pytest.mark.parametrize("parser", ["h11", "httptools"])


@pytest.mark.slow
def test_behind_an_http_middleware_the_task_waits_for_the_reader():
    """Behind an `http` middleware the task of a large response waits until the client has read it."""
    with (
        serve("examples.when_it_runs.behind_a_middleware:app") as server,
        client.stream("GET", f"{server.url}/export") as response,
    ):
        client.get(f"{server.url}/openapi.json")  # the server has had its time
        reading = time.monotonic()
        body = response.read()
        ran = server.wait_for("record_download")
    assert len(body) == 33_000_009
    assert reading < ran.time


def test_with_starlette_0_48_it_did_not_wait():
    """With FastAPI 0.117 (Starlette 0.48) the same file did not wait."""
    target = "examples.when_it_runs.behind_a_middleware:app"
    with (
        serve_with_fastapi("0.117.1", target) as server,
        client.stream("GET", f"{server.url}/export") as response,
    ):
        server.wait_for("record_download")
        read_by_then = response.num_bytes_downloaded
    assert read_by_then == 0


@pytest.mark.slow
def test_an_async_task_that_blocks_stalls_its_own_large_response():
    """A large response stalls while the `async def` task after it blocks: its client gets the rest when the task is done."""
    with serve("examples.when_it_runs.stalled_download:app") as server:
        body = client.get(f"{server.url}/export").content
        received = time.monotonic()
        begun = server.wait_for("record_download: started")
    assert len(body) == 33_000_009
    assert received - begun.time > 0.5  # of the task's second


def test_the_tasks_of_a_streaming_response_start_after_its_last_chunk():
    """The tasks of a `StreamingResponse` start after its last chunk."""
    with serve("examples.when_it_runs.after_the_last_chunk:app") as server:
        body = client.get(f"{server.url}/export").text
        server.wait_for("notify: export sent")
        last_chunk, task = positions(server, "read_rows: done", "notify")
    assert body == "row 0\nrow 1\nrow 2\n"
    assert last_chunk < task


def test_a_task_added_while_streaming_runs_too():
    """A task that the generator adds while it streams runs as well."""
    with serve("examples.when_it_runs.after_the_last_chunk:app") as server:
        client.get(f"{server.url}/export")
        server.wait_for("record_export: 3 rows")


def test_the_tasks_of_an_event_stream_start_when_it_ends():
    """The tasks of server-sent events start when the stream ends."""
    with serve("examples.when_it_runs.after_the_last_event:app") as server:
        body = client.get(f"{server.url}/answer").text
        server.wait_for("archive_chat: Tea is ready")
        last_event, task = positions(server, "answer: last word", "archive_chat")
    assert body.split() == ["data:", '"Tea"', "data:", '"is"', "data:", '"ready"']
    assert last_event < task


@both_parsers
def test_the_next_request_on_the_connection_does_not_wait(parser: str):
    """The next request on the same connection does not wait for the task, behind a middleware and with both of uvicorn's HTTP parsers."""
    target = "examples.when_it_runs.two_middlewares:app"
    with (
        serve(target, "--http", parser) as server,
        new_client(base_url=server.url) as client,
    ):
        connections = {
            client.request(method, path)
            .extensions["network_stream"]
            .get_extra_info("client_addr")
            for method, path in [("POST", "/task"), ("GET", "/openapi.json")]
        }
        answered = time.monotonic()
        done = server.wait_for("send_receipt: done")
    assert len(connections) == 1
    assert answered < done.time


@both_parsers
def test_pipelined_requests_do_not_wait(parser: str):
    """Nor does a second request that is sent before the first is answered."""
    target = "examples.when_it_runs.two_middlewares:app"
    with serve(target, "--http", parser) as server:
        head = b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        with socket.create_connection(server.address) as connection:
            connection.sendall(b"POST /task" + head + b"\r\n")
            connection.sendall(b"GET /docs" + head + b"Connection: close\r\n\r\n")
            answer = connection.makefile("rb").read()
        answered = time.monotonic()
        done = server.wait_for("send_receipt: done")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answered < done.time


def test_with_starlette_0_27_the_next_request_waited():
    """With FastAPI 0.105 (Starlette 0.27) the next request waited until the task was done."""
    target = "examples.when_it_runs.two_middlewares:app"
    with (
        serve_with_fastapi("0.105.0", target) as server,
        new_client(base_url=server.url) as client,
    ):
        client.post("/task")
        client.get("/openapi.json")
        server.wait_for("GET /openapi.json")
        done, answered = positions(server, "send_receipt: done", "GET /openapi.json")
    assert done < answered


def test_an_http_middleware_is_done_before_the_tasks():
    """`call_next` returns before the tasks: a time taken there leaves them out."""
    with serve("examples.when_it_runs.two_middlewares:app") as server:
        client.post(f"{server.url}/task")
        server.wait_for("send_receipt: started")
        returned, started = positions(server, "call_next has returned", "started")
    assert returned < started


def test_an_asgi_middleware_is_done_after_the_tasks():
    """In an ASGI middleware `await self.app(...)` returns after the tasks: a time taken there includes them."""
    with serve("examples.when_it_runs.two_middlewares:app") as server:
        client.post(f"{server.url}/task")
        server.wait_for("ASGI middleware: the app has returned")
        done, returned = positions(server, "send_receipt: done", "ASGI middleware")
    assert done < returned


def test_the_task_of_a_middleware_runs_before_those_of_the_endpoint():
    """A task that a middleware sets as `response.background` runs before the endpoint's, which it does not replace."""
    with serve("examples.when_it_runs.task_of_a_middleware:app") as server:
        client.post(f"{server.url}/task")
        server.wait_for("send_receipt: done")
        audit, receipt = positions(server, "write_audit_log: /task 200", "send_receipt")
    assert audit < receipt


def test_a_client_that_leaves_before_the_response_does_not_stop_the_task():
    """The client leaves before the endpoint has answered: the endpoint goes on, and its task runs."""
    with serve("examples.when_it_runs.client_gone:app") as server:
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/summary", timeout=httpx.Timeout(30, read=0.2))
        server.wait_for("record_export: done")


def test_a_client_that_leaves_during_a_stream_ends_it_and_the_task_runs():
    """The client leaves during a stream: under uvicorn the generator is cancelled, and the task runs."""
    with serve("examples.when_it_runs.client_gone:app") as server:
        with client.stream("GET", f"{server.url}/export") as response:
            next(response.iter_text())
        server.wait_for("record_export: done")
        server.stop()
        assert not any("read_rows: done" in line.text for line in server.lines)


def test_a_client_that_leaves_after_the_response_does_not_stop_the_task():
    """The client has its response and leaves: the task runs to its end."""
    with serve("examples.when_it_runs.client_gone:app") as server:
        with new_client(base_url=server.url) as client:
            client.get("/summary")
        left = time.monotonic()
        done = server.wait_for("record_export: done")
    assert left < done.time


def test_a_task_may_add_a_task():
    """A task may add a task to the same `BackgroundTasks`: it runs after all others."""
    with serve("examples.when_it_runs.a_task_adds_a_task:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: done")
        printed = [line.text for line in server.lines if line.text.endswith(": done")]
    assert printed == ["charge_card: done", "clear_basket: done", "send_receipt: done"]


def test_a_task_cannot_change_the_response():
    """A task that changes the status or a header of the response changes nothing that the client gets."""
    with serve("examples.when_it_runs.too_late_to_change:app") as server:
        answer = client.post(f"{server.url}/task")
        server.wait_for("mark_as_failed: done")
    assert answer.status_code == 200
    assert answer.headers["x-receipt"] == "queued"
