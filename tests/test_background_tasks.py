"""The statements of docs/background-tasks.md."""

import time
from pathlib import Path
from signal import SIGKILL

from runner import client, new_client, serve
from tests.copying import changed


def test_the_response_reaches_the_client_before_the_task_has_finished():
    """The client has the response before the task has finished."""
    with serve("examples.background_tasks.first_task:app") as server:
        response = client.post(f"{server.url}/task")
        answered = time.monotonic()
        done = server.wait_for("send_receipt: done")
    assert response.json() == {"message": "Task has been queued"}
    assert answered < done.time


SENT = """
class Sent:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def tell(message):
            await send(message)
            if message["type"] == "http.response.body":
                print("all of the body is sent")

        await self.app(scope, receive, tell)

app.add_middleware(Sent)
"""
"""Prints when the server has taken the last of a response."""


def test_the_task_starts_when_the_response_has_been_sent(tmp_path: Path):
    """The task starts when the server has sent the response, not when `add_task` is called."""
    target = "examples.background_tasks.first_task:app"
    told = {"app = FastAPI()\n": f"app = FastAPI()\n{SENT}"}
    with serve("changed:app", env=changed({}, tmp_path, target, told)) as server:
        client.post(f"{server.url}/task")
        server.wait_for("send_receipt: done")
        story = [line.text for line in server.lines if "task" in line.text.lower()]
        printed = [line.text for line in server.lines][-4:]
    assert '"POST /task HTTP/1.1" 200 OK' in story[-1]
    assert printed == [
        story[-1],
        "all of the body is sent",
        "send_receipt: started",
        "send_receipt: done",
    ]


def test_the_next_request_on_the_connection_does_not_wait_for_the_task():
    """The next request on the same connection does not wait for the task."""
    with (
        serve("examples.background_tasks.first_task:app") as server,
        new_client(base_url=server.url) as client,
    ):
        connections = set()
        for method, path in [("POST", "/task"), ("GET", "/openapi.json")]:
            response = client.request(method, path)
            stream = response.extensions["network_stream"]
            connections.add(stream.get_extra_info("client_addr"))
        answered = time.monotonic()
        done = server.wait_for("send_receipt: done")
    assert len(connections) == 1
    assert answered < done.time


def test_a_task_is_called_with_the_arguments_of_add_task():
    """The task is called with the positional and keyword arguments that follow it in `add_task`."""
    with serve("examples.background_tasks.with_arguments:app") as server:
        order = {"email": "ada@example.com", "item": "tea"}
        response = client.post(f"{server.url}/task", json=order)
        line = server.wait_for("receipt for")
    assert response.status_code == 202
    assert line.text == "receipt for 'tea' to ada@example.com, copies: 2"


def test_a_request_that_fails_validation_gets_422_and_adds_no_task():
    """A request that fails validation gets a 422 that names the field, and no task runs."""
    with serve("examples.background_tasks.with_arguments:app") as server:
        bad = client.post(f"{server.url}/task", json={"email": "ada", "item": "tea"})
        good = {"email": "ada@example.com", "item": "tea"}
        client.post(f"{server.url}/task", json=good)
        server.wait_for("receipt for")
        receipts = [line for line in server.lines if "receipt" in line.text]
    assert bad.status_code == 422
    assert bad.json()["detail"][0]["loc"] == ["body", "email"]
    assert len(receipts) == 1


def test_a_def_task_runs_in_a_worker_thread():
    """A `def` task runs in a worker thread of the thread pool."""
    with serve("examples.background_tasks.def_or_async:app") as server:
        client.post(f"{server.url}/task")
        line = server.wait_for("resize_avatar")
    assert line.text == "resize_avatar ran in AnyIO worker thread"


def test_an_async_def_task_runs_on_the_event_loop():
    """An `async def` task runs on the event loop, in the main thread."""
    with serve("examples.background_tasks.def_or_async:app") as server:
        client.post(f"{server.url}/task")
        line = server.wait_for("notify_followers")
    assert line.text == "notify_followers ran in MainThread"


def test_the_task_is_over_before_a_slow_client_has_read_the_response():
    """A slow client has not read one byte of the body when the task is over."""
    with (
        serve("examples.background_tasks.after_the_response:app") as server,
        client.stream("GET", f"{server.url}/export") as response,
    ):
        server.wait_for("record_download")
        read_by_then = response.num_bytes_downloaded
        body = response.read()
    assert read_by_then == 0
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert len(body) == 33_000_009


def test_a_killed_process_takes_its_tasks_with_it():
    """A killed process takes its tasks with it: nothing runs after the restart."""
    with serve("examples.background_tasks.first_task:app") as server:
        client.post(f"{server.url}/task")
        server.wait_for("send_receipt: started")
        server.stop(SIGKILL)
        printed = [line.text for line in server.lines]
    with serve("examples.background_tasks.first_task:app") as server:
        client.get(f"{server.url}/openapi.json")
        server.stop()
        printed_after_restart = [line.text for line in server.lines]
    assert "send_receipt: done" not in printed
    assert not any("send_receipt" in text for text in printed_after_restart)


def test_what_a_task_returns_is_thrown_away():
    """`add_task` returns `None`, and what the task returns is thrown away. A result that the response needs is awaited in the endpoint, in a thread."""
    text = {"text": "tea is ready"}
    with serve("examples.background_tasks.result:app") as server:
        thrown_away = client.get(f"{server.url}/thrown-away", params=text)
        awaited = client.get(f"{server.url}/awaited", params=text)
    assert thrown_away.json() == {"words": None}
    assert awaited.json() == {"words": 3}
