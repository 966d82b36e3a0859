"""The statements of docs/uploads-and-requests.md."""

from pathlib import Path

import httpx
import pytest

from runner import Server, client, serve
from tests.copying import changed
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


@pytest.mark.parametrize(
    ("changes", "sizes"),
    [
        ({}, [16]),
        ({"    await photo.seek(0)": "    pass"}, [8]),
        (
            {
                "add_task(count_bytes, photo)": "add_task(count_bytes, photo)\n    tasks.add_task(count_bytes, photo)"
            },
            [16, 0],
        ),
    ],
    ids=["rewound", "not rewound", "two tasks"],
)
def test_what_the_endpoint_has_read_the_task_does_not_get(
    changes: dict[str, str], sizes: list[int], tmp_path: Path
):
    """Rewound, the file is whole in the task. Without that the task gets what is behind the eight bytes that the endpoint has read, and no error. A second task, after the first, gets nothing."""
    target = "examples.uploads_and_requests.rewound:app"
    with serve("changed:app", env=changed({}, tmp_path, target, changes)) as server:
        for photo in (b"\x89PNG\r\n\x1a\n12345678", b"GIF89a"):
            client.post(f"{server.url}/photos", files={"photo": photo})
        said = stop_and_read(server, "count_bytes")
    assert said == [f"count_bytes: {size}" for size in sizes]


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
        server.expect("ClientDisconnect")  # of the body, which nobody has read
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
        server.wait_for("send_receipt")
        client.post(f"{server.url}/passed-on")
        [marker, value] = stop_and_read(server, "send_receipt")
    assert marker.startswith("send_receipt: Depends(")
    assert value == "send_receipt: {'mail server': 'mail.example.com'}"


@pytest.mark.slow
def test_a_copy_of_the_upload_outlives_the_request(tmp_path: Path):
    """The work reads the whole copy when the request, and the upload with it, has ended, and leaves nothing behind."""
    target = "examples.uploads_and_requests.kept_upload:app"
    with serve(target, env={"UPLOADS": str(tmp_path)}) as server:
        files = {"video": bytes(3_000_000)}
        assert client.post(f"{server.url}/videos", files=files).status_code == 202
        server.wait_for("transcode: 3000000 bytes")
        server.stop()
    assert not list(tmp_path.iterdir())


BODY = "examples.uploads_and_requests.body_in_a_middleware:app"


BODY = "examples.uploads_and_requests.body_in_a_middleware:app"


def hangs(server: Server) -> bool:
    """Whether the endpoint waits for a body until the client has left."""
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"{server.url}/orders", content=b"tea", timeout=2)
    server.wait_for("starlette.requests.ClientDisconnect")
    return True


def test_the_endpoint_gets_what_a_middleware_has_read():
    """After `await request.body()` in an `@app.middleware("http")` the endpoint gets the same body, and so does a task that the middleware adds."""
    with serve(BODY) as server:
        answer = client.post(f"{server.url}/orders", content=b"tea")
        assert answer.json() == {"ordered": "tea"}
        server.wait_for("Measure: 3 bytes")
        server.wait_for("write_audit_log: b'tea'")


def test_a_middleware_that_takes_all_for_requests_takes_the_lifespan_away(
    tmp_path: Path,
):
    """Without the check of `scope["type"]` the lifespan does not run, and uvicorn only remarks that it appears unsupported."""
    for change in ({}, {'if scope["type"] != "http":': "if False:"}):
        with serve("changed:app", env=changed({}, tmp_path, BODY, change)) as server:
            said = "'lifespan' protocol appears unsupported" in server.transcript()
            assert said == bool(change)


@pytest.mark.slow
def test_with_fastapi_0_105_the_endpoint_hung():
    """With FastAPI 0.105 and its Starlette 0.27 the endpoint waited for a second body, until the client left."""
    with serve_with_fastapi("0.105.0", BODY) as server:
        assert hangs(server)


def test_after_stream_the_endpoint_gets_an_empty_body(tmp_path: Path):
    """After `request.stream()` in the middleware it gets an empty body, and no error."""
    streams = {
        "await request.body()  # not stream(), of which nothing is kept": "b''.join([part async for part in request.stream()])"
    }
    with serve("changed:app", env=changed({}, tmp_path, BODY, streams)) as server:
        answer = client.post(f"{server.url}/orders", content=b"tea")
        assert answer.json() == {"ordered": ""}
        server.wait_for("write_audit_log: b'tea'")


def test_after_call_next_the_body_is_gone(tmp_path: Path):
    """After `call_next` the middleware comes too late: `RuntimeError: Stream consumed`."""
    late = {
        "    body = await request.body()  # not stream(), of which nothing is kept\n": "",
        "call_next(request)\n": "call_next(request)\n    body = await request.body()\n",
    }
    with serve("changed:app", env=changed({}, tmp_path, BODY, late)) as server:
        assert client.post(f"{server.url}/orders", content=b"tea").status_code == 500
        server.wait_for("RuntimeError: Stream consumed")


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake",
    [
        {"scope, receive_again": "scope, receive"},
        {
            "await request.body()  #": "await Request(request.scope, request.receive).body()  #"
        },
    ],
    ids=["pure ASGI", "a Request of its own"],
)
def test_what_is_not_handed_on_lets_the_endpoint_hang(
    tmp_path: Path, mistake: dict[str, str]
):
    """A pure ASGI middleware that reads the body and passes `receive` on as it is makes the endpoint wait until the client leaves. So does one that makes a second `Request`."""
    with serve("changed:app", env=changed({}, tmp_path, BODY, mistake)) as server:
        assert hangs(server)


@pytest.mark.slow
def test_after_the_body_the_endpoint_hears_that_the_client_has_left(tmp_path: Path):
    """After the body the endpoint gets what comes next, through both middlewares: that the client has left."""
    listens = {
        "    return {": "    print((await request.receive())['type'])\n    return {"
    }
    with serve("changed:app", env=changed({}, tmp_path, BODY, listens)) as server:
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{server.url}/orders", content=b"tea", timeout=2)
        server.wait_for("http.disconnect")


def test_max_body_size_bounds_what_a_middleware_reads(tmp_path: Path):
    """With `FastAPI(max_body_size=100)` a body of a thousand bytes is a `413` before the middleware has it."""
    bounded = {"app = FastAPI()": "app = FastAPI(max_body_size=100)"}
    with serve("changed:app", env=changed({}, tmp_path, BODY, bounded)) as server:
        answer = client.post(f"{server.url}/orders", content=bytes(1000))
        assert answer.status_code == 413
        assert not any("Measure" in line.text for line in server.lines)
