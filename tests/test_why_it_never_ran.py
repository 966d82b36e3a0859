"""The statements of docs/why-it-never-ran.md."""

from pathlib import Path

import pytest
from websockets.sync.client import connect

from runner import ServerError, client, serve
from tests.older import serve_with_fastapi
from tests.terminal import positions, stop_and_read


def test_an_endpoint_that_raises_drops_its_tasks():
    """An endpoint that raises after `add_task` drops the task, and nothing is logged."""
    with serve("examples.why_it_never_ran.raised_after:app") as server:
        answer = client.get(f"{server.url}/raised/tea")
        assert stop_and_read(server, "write_audit_log") == []
        assert not any("ERROR" in line.text for line in server.lines)
    assert answer.status_code == 404


@pytest.mark.parametrize("how", ["returned", "set"])
def test_an_endpoint_that_returns_an_error_runs_them(how: str):
    """An endpoint that returns runs them, whatever the status of the response that it returns or sets."""
    with serve("examples.why_it_never_ran.raised_after:app") as server:
        answer = client.get(f"{server.url}/{how}/tea")
        assert stop_and_read(server, "write_audit_log") == [
            f"write_audit_log: {how}, tea"
        ]
    assert answer.status_code == 404


def test_the_response_of_an_exception_handler_brings_a_task():
    """The task of the handler's response runs; what the endpoint had added does not."""
    with serve("examples.why_it_never_ran.work_on_error:app") as server:
        answer = client.post(f"{server.url}/orders/tea")
        assert stop_and_read(server, "reorder") == ["reorder: tea"]
        assert stop_and_read(server, "send_receipt") == []
    assert answer.status_code == 409
    assert answer.json() == {"detail": "tea is out of stock"}


def test_a_request_that_fails_validation_drops_the_tasks_of_dependencies():
    """A request that gets a 422 drops the tasks that a dependency has added already."""
    with serve("examples.why_it_never_ran.not_validated:app") as server:
        answer = client.get(f"{server.url}/orders", params={"limit": "many"})
        server.wait_for("audit: task added")
        assert stop_and_read(server, "write_audit_log") == []
    assert answer.status_code == 422


def test_a_request_that_passes_runs_the_task_of_a_dependency():
    """A request that passes runs the task of a dependency, also if the endpoint itself has no `BackgroundTasks`."""
    with serve("examples.why_it_never_ran.not_validated:app") as server:
        client.get(f"{server.url}/orders")
        [line] = stop_and_read(server, "write_audit_log")
    assert line == "write_audit_log: added in a dependency"


def test_a_response_that_fails_validation_drops_the_tasks():
    """A response that does not fit its model is a 500, and the tasks are dropped."""
    with serve("examples.why_it_never_ran.not_validated:app") as server:
        answer = client.get(f"{server.url}/receipt")
        server.wait_for("ResponseValidationError")
        assert stop_and_read(server, "write_audit_log") == []
    assert answer.status_code == 500


def test_a_response_with_a_background_replaces_the_tasks():
    """`Response(background=...)` replaces what `add_task` has noted, without a word."""
    with serve("examples.why_it_never_ran.own_response:app") as server:
        client.post(f"{server.url}/replaced")
        assert stop_and_read(server, "send_receipt") == ["send_receipt: done"]
        assert stop_and_read(server, "write_audit_log") == []


@pytest.mark.parametrize("path", ["/kept", "/handed-over"])
def test_a_response_without_a_background_or_with_the_same_keeps_them(path: str):
    """A response without `background` keeps the tasks, and so does one that is given the `BackgroundTasks` itself."""
    with serve("examples.why_it_never_ran.own_response:app") as server:
        client.post(f"{server.url}{path}")
        assert stop_and_read(server, "write_audit_log") == ["write_audit_log: done"]
        assert stop_and_read(server, "send_receipt") == ["send_receipt: done"]


def test_a_task_added_after_yield_never_runs():
    """A task that a dependency adds after `yield` never runs; one added before it does."""
    with serve("examples.why_it_never_ran.after_yield:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("audit: task added after yield")
        assert stop_and_read(server, "write") == ["write_audit_log: added before yield"]


def test_with_fastapi_0_117_a_task_added_after_yield_ran():
    """With FastAPI 0.117, where dependencies ended before the tasks, it ran."""
    target = "examples.why_it_never_ran.after_yield:app"
    with serve_with_fastapi("0.117.1", target) as server:
        client.post(f"{server.url}/orders")
        server.wait_for("write_audit_log: added after yield")


def test_with_fastapi_0_105_it_did_not_run_either():
    """With FastAPI 0.105 it did not run either."""
    target = "examples.why_it_never_ran.after_yield:app"
    with serve_with_fastapi("0.105.0", target) as server:
        client.post(f"{server.url}/orders")
        server.wait_for("audit: task added after yield")
        assert stop_and_read(server, "write") == ["write_audit_log: added before yield"]


def test_the_tasks_of_a_websocket_never_run():
    """A WebSocket endpoint may add tasks; nobody runs them, and there is no error."""
    with serve("examples.why_it_never_ran.websocket:app") as server:
        with connect(server.url.replace("http", "ws") + "/chat") as websocket:
            assert websocket.recv() == "hello"
        server.wait_for("chat: closed")
        assert stop_and_read(server, "archive_chat") == []
        assert not any("ERROR" in line.text for line in server.lines)


def test_a_websocket_endpoint_goes_on_when_it_is_closed():
    """When the client has closed it, the endpoint goes on: call the function in its `finally`."""
    with serve("examples.why_it_never_ran.websocket:app") as server:
        with connect(server.url.replace("http", "ws") + "/archived-chat") as websocket:
            websocket.send("ada")
            assert websocket.recv() == "hello ada"
        server.wait_for("archive_chat: called when it was closed")


def test_without_its_annotation_the_parameter_is_not_filled_in():
    """Without the annotation the default stays in its place, and the tasks added to it never run."""
    with serve("examples.why_it_never_ran.not_injected:app") as server:
        answers = [client.post(f"{server.url}/not-annotated").json() for _ in range(3)]
        assert stop_and_read(server, "send_receipt") == []
    assert answers == [{"never run": 1}] * 3


def test_without_it_the_client_may_send_one():
    """It is a query parameter then: what a client sends as one takes its place, and is a 500."""
    with serve("examples.why_it_never_ran.not_injected:app") as server:
        sent = {"background_tasks": "tea"}
        answer = client.post(f"{server.url}/not-annotated", params=sent)
        server.wait_for("'str' object has no attribute 'add_task'")
    assert answer.status_code == 500


def test_without_brackets_the_class_is_the_default():
    """`background_tasks=BackgroundTasks`, with `=` in place of `:`, makes the class the default: every request is a 500, because a class has no list to add to."""
    with serve("examples.why_it_never_ran.not_injected:app") as server:
        answer = client.post(f"{server.url}/no-brackets")
        server.wait_for("TypeError: .*missing 1 required positional argument")
    assert answer.status_code == 500


@pytest.mark.parametrize("where", ["TYPE_CHECKING", "a function"])
def test_an_annotation_that_fastapi_cannot_look_up_is_a_422(where: str, tmp_path: Path):
    """With `from __future__ import annotations`, a `BackgroundTasks` that is imported under `TYPE_CHECKING` or in a function is a required query parameter: every request gets `422`."""
    endpoint = (
        "def post(tasks: BackgroundTasks): tasks.add_task(print, 'send_receipt: done')"
    )
    inside = f"""
def make_app():
    from fastapi import BackgroundTasks, FastAPI
    app = FastAPI()
    @app.post("/orders")
    {endpoint}
    return app
app = make_app()"""
    checked = f"""
from typing import TYPE_CHECKING
from fastapi import FastAPI
if TYPE_CHECKING:
    from fastapi import BackgroundTasks
app = FastAPI()
@app.post("/orders")
{endpoint}"""
    code = checked if where == "TYPE_CHECKING" else inside
    head = "from __future__ import annotations\n"
    (tmp_path / "main.py").write_text(head + code)
    top = head + "from fastapi import BackgroundTasks\n"
    (tmp_path / "right.py").write_text(top + code)
    with serve("main:app", cwd=tmp_path) as server:
        answer = client.post(f"{server.url}/orders")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "tasks"]
    with serve("right:app", cwd=tmp_path) as server:
        assert client.post(f"{server.url}/orders").status_code == 200
        server.wait_for("send_receipt: done")


def test_fastapi_makes_its_own_class_whichever_is_asked_for():
    """A subclass as the annotation is filled in too, with FastAPI's own class: your `add_task` is not called. It is called if a dependency makes your class around the same list."""
    with serve("examples.why_it_never_ran.subclass:app") as server:
        annotated = client.post(f"{server.url}/annotated").json()
        server.wait_for("send_receipt: done")
        depends = client.post(f"{server.url}/depends").json()
        printed = stop_and_read(server, "add_task", "send_receipt")
    assert annotated == {"tasks": "BackgroundTasks"}
    assert depends == {"tasks": "LoggedTasks"}
    assert printed == [
        "send_receipt: done",
        "add_task: send_receipt",
        "send_receipt: done",
    ]


def test_a_list_at_module_level_runs_all_of_it_again():
    """A `BackgroundTasks` at module level grows: each request runs the tasks of all before it again."""
    with serve("examples.why_it_never_ran.kept:app") as server:
        for order in (1, 2):
            client.post(f"{server.url}/kept-tasks/{order}")
        printed = stop_and_read(server, "send_receipt")
    assert printed.count("send_receipt: 1") == 2


def test_a_response_that_is_kept_keeps_the_tasks_of_its_first_request():
    """A response that is made once and returned by each request keeps the tasks of its first: they run again, and new ones never."""
    with serve("examples.why_it_never_ran.kept:app") as server:
        for order in (1, 2):
            client.post(f"{server.url}/kept-response/{order}")
        printed = stop_and_read(server, "send_receipt")
    assert printed == ["send_receipt: 1", "send_receipt: 1"]


def test_a_call_in_place_of_a_function_runs_in_the_request():
    """`add_task(send_receipt(7))` calls the function first: the response waits for it. Then what it has returned is no task, which the log says after a `200`."""
    with serve("examples.why_it_never_ran.called_at_once:app") as server:
        answer = client.post(f"{server.url}/orders/7")
        server.wait_for("TypeError: the first argument must be callable")
        done, answered = positions(server, "send_receipt: 7 done", "POST /orders/7")
    assert answer.status_code == 200
    assert done < answered


def test_with_the_annotation_a_default_does_no_harm():
    """With the annotation a default such as `None` does no harm."""
    with serve("examples.why_it_never_ran.not_injected:app") as server:
        answer = client.post(f"{server.url}/optional")
        assert stop_and_read(server, "send_receipt") == ["send_receipt: done"]
    assert answer.json() == {"will run": 1}


def test_an_optional_annotation_is_an_error_at_the_start(tmp_path):
    """`BackgroundTasks | None` as the annotation is an error when the app starts."""
    (tmp_path / "main.py").write_text(
        "from fastapi import BackgroundTasks, FastAPI\n"
        "app = FastAPI()\n"
        "@app.get('/')\n"
        "def index(background_tasks: BackgroundTasks | None = None): ...\n"
    )
    with (
        pytest.raises(ServerError, match="Invalid args for response field"),
        serve("main:app", cwd=tmp_path),
    ):
        pass


def test_tasks_of_your_own_run_only_with_a_response_that_takes_them():
    """A `BackgroundTasks` that you have made yourself runs only as the `background` of the response."""
    with serve("examples.why_it_never_ran.of_its_own:app") as server:
        client.post(f"{server.url}/forgotten")
        client.post(f"{server.url}/taken-along")
        assert stop_and_read(server, "send_receipt") == ["send_receipt: taken along"]
