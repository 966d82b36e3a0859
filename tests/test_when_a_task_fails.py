"""The statements of docs/when-a-task-fails.md."""

import re
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest
from uvicorn.importer import import_from_string

from runner import Server, client, new_client, serve
from tests.copying import changed
from tests.older import serve_with_fastapi
from tests.orders import ask_until
from tests.sentry import a_sentry
from tests.services import in_a_thread

both_parsers = pytest.mark.parametrize("parser", ["h11", "httptools"])


def texts(server: Server) -> list[str]:
    return [line.text for line in server.lines]


def connections(server: Server) -> list[str]:
    """The client's end of the connection of each POST /orders, as the server logs it."""
    server.wait_for("POST /orders HTTP", nth=2)
    return [text.split()[1] for text in texts(server) if "POST /orders HTTP" in text]


def test_the_client_has_its_200_and_the_log_has_a_traceback():
    """The client has its `200`; the log has a traceback, with no id of the request and no name of the task but in the traceback."""
    with serve("examples.when_a_task_fails.what_the_client_sees:app") as server:
        answer = client.post(f"{server.url}/orders")
        server.wait_for("CardDeclined: card ends with 4242")
        error = next(text for text in texts(server) if text.startswith("ERROR"))
    assert answer.status_code == 200
    assert error.split() == ["ERROR:", "Exception", "in", "ASGI", "application"]


def test_a_handler_for_the_class_of_the_exception_is_not_called():
    """A handler for the exception's class is not called; in the log a `RuntimeError` hides the exception."""
    with serve("examples.when_a_task_fails.what_the_client_sees:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("RuntimeError: Caught handled exception, but response already")
        server.stop()
        printed = texts(server)
    assert "answer_card_declined: called" not in printed
    assert [text for text in printed if text.endswith("ends with 4242")]


def test_an_http_exception_in_a_task_changes_nothing_for_the_client():
    """An `HTTPException` in a task is no answer: the client has its `200` already."""
    with serve("examples.when_a_task_fails.what_the_client_sees:app") as server:
        answer = client.post(f"{server.url}/http-exception")
        server.wait_for("HTTPException: 402: card declined")
        server.wait_for("RuntimeError: Caught handled exception, but response already")
    assert answer.status_code == 200


@both_parsers
def test_a_task_that_raises_breaks_another_request_on_its_connection(parser: str):
    """The exception closes the connection: another request that is in flight on it gets no response."""
    target = "examples.when_a_task_fails.broken_connection:app"
    with (
        serve(target, "--http", parser) as server,
        new_client(base_url=server.url) as pool,
    ):
        accepted = pool.post("/orders")
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            pool.get("/report")
        server.wait_for("^ConnectionError: the mail server refused the connection$")
    assert accepted.status_code == 200


@pytest.mark.slow
def test_on_a_connection_of_its_own_the_other_request_is_answered():
    """On a connection of its own the same request is answered."""
    target = "examples.when_a_task_fails.broken_connection:app"
    with serve(target) as server:
        client.post(f"{server.url}/orders")
        answer = client.get(f"{server.url}/report")
        server.wait_for("^ConnectionError: the mail server refused the connection$")
    assert answer.json() == {"rows": 50}


@pytest.mark.slow
def test_it_did_so_in_older_versions_too():
    """It did so with FastAPI 0.105 as well."""
    target = "examples.when_a_task_fails.broken_connection:app"
    with (
        serve_with_fastapi("0.105.0", target) as server,
        new_client(base_url=server.url) as pool,
    ):
        pool.post("/orders")
        with pytest.raises(httpx.RemoteProtocolError, match="disconnected"):
            pool.get("/report")
        server.wait_for("^ConnectionError: the mail server refused the connection$")


def test_a_wrapper_that_logs_keeps_the_connection():
    """With the wrapper the log names the task, the next task runs, and the connection stays."""
    with (
        serve("examples.when_a_task_fails.never_raises:app") as server,
        new_client(base_url=server.url) as pool,
    ):
        pool.post("/orders")
        server.wait_for(r"background task send_receipt\(7,\) failed")
        server.wait_for("ConnectionError: the mail server refused the connection")
        server.wait_for("notify_warehouse: order 7")
        pool.post("/orders")
        assert not any("Exception in ASGI" in text for text in texts(server))
        first, second = connections(server)
    assert first == second


def test_the_wrapper_takes_all_that_add_task_takes(caplog: pytest.LogCaptureFixture):
    """It runs a `functools.partial` too, and an object with an `async` `__call__`, and logs their failure."""

    class Sender:
        async def __call__(self, order: int) -> None:
            raise ConnectionError(f"refused {order}")

    logged = import_from_string("examples.when_a_task_fails.never_raises:logged")
    in_a_thread(logged(Sender(), 1)).result()
    in_a_thread(logged(partial(divmod, 7), 0)).result()
    assert [record.exc_info[0] for record in caplog.records] == [
        ConnectionError,
        ZeroDivisionError,
    ]


def test_without_the_wrapper_the_connection_is_gone():
    """Without it the next request needs a new connection."""
    with (
        serve("examples.when_a_task_fails.handler_for_all:app") as server,
        new_client(base_url=server.url) as pool,
    ):
        pool.post("/orders")
        server.wait_for("^ConnectionError: the mail server refused the connection")
        client.get(f"{server.url}/openapi.json")  # the server has had its time
        pool.post("/orders")
        first, second = connections(server)
    assert first != second


def test_a_handler_for_all_exceptions_is_called_and_its_response_dropped():
    """A handler for `Exception` is called with the request and the exception; its response goes nowhere."""
    with serve("examples.when_a_task_fails.handler_for_all:app") as server:
        answer = client.post(f"{server.url}/orders")
        server.wait_for(r"report_exception: POST /orders: ConnectionError\('the mail")
        server.wait_for("ERROR: .*Exception in ASGI application")
    assert answer.status_code == 200
    assert answer.json() == {"message": "Task has been queued"}


def test_behind_a_middleware_a_failed_task_is_logged():
    """Behind an `http` middleware a failed task is logged as well."""
    with serve("examples.when_a_task_fails.behind_a_middleware:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("ERROR: .*Exception in ASGI application")
        server.wait_for("ConnectionError: the mail server refused the connection")


def test_with_starlette_0_38_the_exception_was_swallowed():
    """With FastAPI 0.115.0 (Starlette 0.38) the same file logged nothing."""
    target = "examples.when_a_task_fails.behind_a_middleware:app"
    with serve_with_fastapi("0.115.0", target) as server:
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: started")
        server.stop()
        assert not any("Error" in text for text in texts(server))
        assert not any("ERROR" in text for text in texts(server))


def test_a_task_is_called_again_until_it_succeeds():
    """The task is called again, after a longer wait each time, until it succeeds; nothing leaves it."""
    with serve("examples.when_a_task_fails.retries:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: order 7 refused", nth=2)
        server.wait_for("send_receipt: order 7 accepted")
        server.stop()
        scheduled = " ".join(text for text in texts(server) if "retry_sched" in text)
        assert not any("Exception in ASGI" in text for text in texts(server))
    assert re.findall(r"wait_for=([\d.]+)", scheduled) == ["0.2", "0.4"]


def test_while_it_waits_to_try_again_a_def_task_holds_a_thread():
    """While it waits to try again, a `def` task holds its thread."""
    with serve("examples.when_a_task_fails.retries:app") as server:
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: order 7 refused")
        busy = client.get(f"{server.url}/threads").json()
        server.wait_for("send_receipt: order 7 accepted")
        ask_until(  # the line comes before the end of the task
            lambda: client.get(f"{server.url}/threads").json(),
            lambda now: now == {"at_work": 0},
            timeout=30,
        )
    assert busy == {"at_work": 1}


MONITORED = "examples.when_a_task_fails.monitored:app"


@pytest.mark.slow
def test_what_is_logged_as_an_exception_reaches_sentry_with_its_request():
    """Sentry gets the exception, the name of the task, and the method and address of the request."""
    with a_sentry() as sentry, serve(MONITORED, env=sentry.env) as server:
        client.post(f"{server.url}/orders")
        event = sentry.next("event")
        server.wait_for("background task send_receipt failed")
    [exception] = event["exception"]["values"]
    assert exception["type"] == "ConnectionError"
    assert event["logentry"]["params"] == ["send_receipt"]
    assert event["request"]["method"] == "POST"
    assert event["request"]["url"].endswith("/orders")


@pytest.mark.slow
def test_the_transaction_of_a_request_lasts_until_its_tasks_have_ended(tmp_path: Path):
    """With `traces_sample_rate`, Sentry's transaction of the request ends with its last task, not with the response: a task of a second makes it a second long. What the task reports belongs to it."""
    changes = {'SENTRY_DSN"))': 'SENTRY_DSN"), traces_sample_rate=1.0)'}
    changes["    raise ConnectionError"] = (
        "    time.sleep(1)\n    raise ConnectionError"
    )
    changes["import os\n"] = "import os\nimport time\n"
    with a_sentry() as sentry:
        env = changed(sentry.env, tmp_path, MONITORED, changes)
        with serve("changed:app", env=env) as server:
            client.post(f"{server.url}/orders")
            event, transaction = sentry.next("event"), sentry.next("transaction")
            server.wait_for("background task send_receipt failed")
    began, ended = (
        datetime.fromisoformat(transaction[at])
        for at in ("start_timestamp", "timestamp")
    )
    assert (ended - began).total_seconds() >= 1
    assert event["transaction"] == transaction["transaction"] == "/orders"
    trace = transaction["contexts"]["trace"]
    assert event["contexts"]["trace"]["trace_id"] == trace["trace_id"]


@pytest.mark.parametrize("path", ["/import", "/import-prices"])
def test_sys_exit_in_a_task_does_not_stop_the_server(path: str):
    """`sys.exit` in a task, `def` or `async def`, is logged like any exception; the server lives on."""
    with serve("examples.when_a_task_fails.system_exit:app") as server:
        client.post(server.url + path)
        server.wait_for("SystemExit: 1")
        answer = client.get(f"{server.url}/ping")
    assert answer.json() == {"message": "pong"}


@pytest.mark.parametrize("path", ["/import", "/import-prices"])
def test_behind_an_http_middleware_sys_exit_stops_the_server(path: str, tmp_path: Path):
    """Behind `@app.middleware("http")`, `sys.exit` in a task ends uvicorn, and with it every other request and task."""
    middleware = """app = FastAPI()
@app.middleware("http")
async def pass_on(request, call_next):
    return await call_next(request)"""
    target = "examples.when_a_task_fails.system_exit:app"
    env = changed({}, tmp_path, target, {"app = FastAPI()": middleware})
    with serve("changed:app", env=env) as server:
        server.expect("SystemExit|CancelledError|Traceback|ERROR")
        with suppress(httpx.TransportError):  # it may have ended before it answers
            client.post(server.url + path)
        assert server.wait() != 0


@pytest.mark.parametrize(
    ("path", "status"), [("/exception", "running"), ("/everything", "failed")]
)
def test_a_cancellation_is_no_exception(path: str, status: str, tmp_path: Path):
    """`except Exception` lets a cancellation through, such as that of `--timeout-graceful-shutdown`: the row stays at `running`. `except BaseException` catches it."""
    row = tmp_path / "status"
    target = "examples.when_a_task_fails.cancelled:app"
    limit = ("--timeout-graceful-shutdown", "1")
    with serve(target, *limit, env={"ROW": str(row)}) as server:
        client.post(server.url + path)
        server.wait_for("build_report: started")
        server.stop()
        server.wait_for("timeout graceful shutdown exceeded", nth=2)
    assert row.read_text() == status


def test_an_asgi_middleware_sees_the_exception_of_a_task():
    """An ASGI middleware sees what a task raises, when the client has its `200`. An `http` middleware is done by then."""
    with serve("examples.when_a_task_fails.seen_by_a_middleware:app") as server:
        assert client.post(f"{server.url}/orders").status_code == 200
        server.wait_for("ASGI middleware: /orders: the mail server refused")
        server.wait_for("ERROR: .*Exception in ASGI application")
        printed = server.transcript()
    assert "http middleware: nothing has failed" in printed
    assert "http middleware: the task has failed" not in printed


def test_the_failure_of_create_task_is_logged_only_when_the_task_is_collected():
    """What `asyncio.create_task` has started fails in silence while you hold a reference to it: the log has the exception when the task is collected."""
    with serve("examples.when_a_task_fails.fire_and_forget:app") as server:
        client.post(f"{server.url}/orders")
        client.post(f"{server.url}/forget")
        server.wait_for("Task exception was never retrieved")
        server.wait_for("ConnectionError: the mail server refused the connection")
        printed = texts(server)
    forgotten = printed.index("forget: called")
    assert forgotten < printed.index("Task exception was never retrieved")
