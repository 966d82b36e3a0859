"""The statements of docs/uploads-and-requests.md."""

from pathlib import Path

from runner import client, serve
from tests.load import post_at_once
from tests.older import serve_with_fastapi
from tests.terminal import stop_and_read


def test_tasks_of_dependencies_run_first():
    """The tasks of dependencies run before the endpoint's, in the order of the parameters; they share one list."""
    with serve("examples.uploads_and_requests.merged:app") as server:
        client.post(f"{server.url}/orders")
        assert stop_and_read(server, "write_audit_log") == [
            "write_audit_log: added by read_user",
            "write_audit_log: added by Notifier",
            "write_audit_log: added by create_order",
            "write_audit_log: added by create_order, through Notifier",
        ]


def test_a_task_may_read_an_uploaded_file():
    """A background task may read the `UploadFile` of its request."""
    with serve("examples.uploads_and_requests.upload_in_a_task:app") as server:
        client.post(f"{server.url}/background-task", files={"photo": b"0123456789"})
        assert server.wait_for("count_bytes").text == "count_bytes: 10 bytes"


def test_with_fastapi_0_117_the_file_was_closed():
    """With FastAPI 0.117 the file was closed by then."""
    target = "examples.uploads_and_requests.upload_in_a_task:app"
    with serve_with_fastapi("0.117.1", target) as server:
        client.post(f"{server.url}/background-task", files={"photo": b"0123456789"})
        line = server.wait_for("count_bytes")
    assert line.text == "count_bytes: I/O operation on closed file."


def test_create_task_finds_the_file_closed():
    """What `asyncio.create_task` has started finds the file closed: nothing keeps it open after the response."""
    with serve("examples.uploads_and_requests.upload_in_a_task:app") as server:
        client.post(f"{server.url}/create-task", files={"photo": b"0123456789"})
        line = server.wait_for("count_bytes")
    assert line.text == "count_bytes: I/O operation on closed file."


def test_the_state_and_the_address_of_the_request_can_be_read():
    """`request.state` and `request.url` can be read in a task."""
    with serve("examples.uploads_and_requests.request_in_a_task:app") as server:
        client.post(f"{server.url}/unread", content=b"tea")
        server.wait_for("write_audit_log: ada at /unread")


def test_a_body_that_nobody_has_read_cannot_be_read_in_a_task():
    """A body that the endpoint has not read raises `ClientDisconnect` in the task, though the client is there."""
    with serve("examples.uploads_and_requests.request_in_a_task:app") as server:
        client.post(f"{server.url}/unread", content=b"tea")
        server.wait_for("starlette.requests.ClientDisconnect")
        assert not any("b'tea'" in line.text for line in server.lines)


def test_a_body_that_the_endpoint_has_read_is_kept():
    """A body that the endpoint has read is kept for the task."""
    with serve("examples.uploads_and_requests.request_in_a_task:app") as server:
        client.post(f"{server.url}/read", content=b"tea")
        server.wait_for("write_audit_log: b'tea'")


def test_max_concurrency_counts_the_tasks():
    """With `max_concurrency=1` the second request waits until the tasks of the first are over."""
    with serve("examples.uploads_and_requests.one_at_a_time:app") as server:
        assert post_at_once(server, "/labels", 2) == [200, 200]
        assert (
            stop_and_read(server, "print_label")
            == [
                "print_label: started",
                "print_label: done",
            ]
            * 2
        )


def test_with_scope_function_max_concurrency_does_not_count_them():
    """With `scope="function"` it does not wait for the tasks."""
    with serve("examples.uploads_and_requests.one_at_a_time:app") as server:
        assert post_at_once(server, "/brief", 2) == [200, 200]
        assert stop_and_read(server, "print_label")[:2] == ["print_label: started"] * 2


def test_a_task_deletes_the_file_when_it_has_been_sent(tmp_path: Path):
    """The task deletes the file when the whole of it has been sent, and also when the client leaves in the middle."""
    target = "examples.uploads_and_requests.sent_and_deleted:app"
    with serve(target, env={"EXPORTS": str(tmp_path)}) as server:
        assert len(client.get(f"{server.url}/export").content) == 17_000_000
        server.wait_for("delete: ")
        with client.stream("GET", f"{server.url}/export") as response:
            next(response.iter_bytes())
        server.wait_for("delete: ", nth=2)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_gone_when_it_is_sent_is_a_500(tmp_path: Path):
    """The endpoint's `with` ends before the file is sent: the response is a `500`, because the file does not exist."""
    target = "examples.uploads_and_requests.sent_and_deleted:app"
    with serve(target, env={"EXPORTS": str(tmp_path)}) as server:
        assert client.get(f"{server.url}/gone-too-soon").status_code == 500
        server.wait_for("RuntimeError: File at path .* does not exist")


def test_the_dependencies_of_a_task_are_not_resolved():
    """`Depends` in a task's own signature is not filled in: the task gets the marker itself. Take the value in the endpoint, and pass it on."""
    with serve("examples.uploads_and_requests.not_resolved:app") as server:
        client.post(f"{server.url}/not-resolved")
        client.post(f"{server.url}/passed-on")
        [marker, value] = stop_and_read(server, "send_receipt")
    assert marker.startswith("send_receipt: Depends(")
    assert value == "send_receipt: {'mail server': 'mail.example.com'}"


def test_a_copy_of_the_upload_outlives_the_request(tmp_path: Path):
    """The work reads the whole copy when the request, and the upload with it, has ended, and leaves nothing behind."""
    target = "examples.uploads_and_requests.kept_upload:app"
    with serve(target, env={"UPLOADS": str(tmp_path)}) as server:
        files = {"video": bytes(3_000_000)}
        assert client.post(f"{server.url}/videos", files=files).status_code == 202
        server.wait_for("transcode: 3000000 bytes")
        server.stop()
    assert not list(tmp_path.iterdir())
