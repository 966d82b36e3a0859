"""The statements of docs/context-and-logs.md."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE
from typing import IO

import pytest

from runner import Server, client, new_client, serve
from runner.process import PATIENCE, ROOT, Line, free_port
from tests.copying import changed
from tests.load import post_at_once
from tests.sentry import a_sentry
from tests.terminal import positions


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


@pytest.mark.parametrize(
    ("context", "owner"), [("", "ada"), (", context=Context()", "nobody")]
)
def test_a_loop_that_a_request_begins_keeps_the_context_of_that_request(
    context: str, owner: str, tmp_path: Path
):
    """Ada's request begins the loop, and Bob's job runs in it as Ada's. Begun with `context=Context()`, an empty one, or in the lifespan, it is nobody's."""
    target = "examples.context_and_logs.begun_by_a_request:app"
    changes = {
        "create_task(work())": f"create_task(work(){context})",
        "import ContextVar\n": "import Context, ContextVar\n",
    }
    with serve("changed:app", env=changed({}, tmp_path, target, changes)) as server:
        for number, name in enumerate(("ada", "bob"), 1):
            client.post(f"{server.url}/users/{name}/jobs/{number}")
            server.wait_for(f"work: job {number} of {owner}$")


@pytest.mark.slow
def test_sentry_takes_what_such_a_loop_reports_for_the_first_request(tmp_path: Path):
    """Sentry's scope is such a variable: an error in Bob's job is reported with the address of Ada's request."""
    target = "examples.context_and_logs.begun_by_a_request:app"
    changes = {
        "import asyncio\n": "import asyncio\nimport logging\nimport os\nimport sentry_sdk\n",
        "app = FastAPI()": "sentry_sdk.init(dsn=os.environ['SENTRY_DSN'])\napp = FastAPI()",
        "        print(": "        if number == 2:\n"
        "            logging.error('job 2 failed')\n        print(",
    }
    with a_sentry() as sentry:
        env = changed(sentry.env, tmp_path, target, changes)
        with serve("changed:app", env=env) as server:
            server.expect("job 2 failed")
            for number, name in enumerate(("ada", "bob"), 1):
                client.post(f"{server.url}/users/{name}/jobs/{number}")
                server.wait_for(f"work: job {number}")
            event = sentry.next("event")
    assert event["logentry"]["message"] == "job 2 failed"
    assert event["request"]["url"].endswith("/users/ada/jobs/1")


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


def assert_without_its_task(request: Line, task: Line) -> None:
    """The span of the request ends first, and does not include the half second of its task."""
    assert request.time < task.time
    assert float(request.text.split()[0]) < 0.5 <= float(task.text.split()[0])


def test_each_task_has_a_span_of_its_own():
    """Each task has a span, with the name of its function and its duration; the span of the request ends with the response and does not include it."""
    with serve("examples.context_and_logs.spans:app") as server:
        client.post(f"{server.url}/orders")
        task = server.wait_for("fastapi.background_task")
        request = server.wait_for("s POST /orders")
    assert task.text.endswith("context_and_logs.spans.send_receipt")
    assert_without_its_task(request, task)


SLOW = {
    "ConsoleSpanExporter, SimpleSpanProcessor\n": """(
    BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
)

class Slow(ConsoleSpanExporter):
    def export(self, spans):
        time.sleep(2)
        print("exporter: done")
        return super().export(spans)

""",
    "ConsoleSpanExporter(f": "Slow(f",
}


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["Simple", "Batch"])
def test_a_slow_exporter_holds_up_the_answer_unless_spans_are_sent_in_batches(
    processor: str, tmp_path: Path
):
    """`SimpleSpanProcessor` sends each span where it ends, here on the event loop: with an exporter that takes two seconds the answer waits for it, and so does every other request. `BatchSpanProcessor` sends them from a thread of its own."""
    target = "examples.context_and_logs.spans:app"
    changes = SLOW | {"(SimpleSpan": f"({processor}Span"}
    with serve("changed:app", env=changed({}, tmp_path, target, changes)) as server:
        client.post(f"{server.url}/orders", timeout=60)
        sent, answered = positions(server, "exporter: done", '"POST /orders HTTP')
    assert (sent < answered) == (processor == "Simple")


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


SAYS = "examples.context_and_logs.three_ways_to_say:app"


def said(target: str) -> list[str]:
    """What the task of this app says in the terminal."""
    with serve(target) as server:
        client.post(f"{server.url}/orders")
        server.wait_for("send_receipt: warning")
        server.stop()
        return [line.text for line in server.lines if "send_receipt" in line.text]


def test_an_info_line_is_not_shown():
    """Under uvicorn `logger.info` of your own logger shows nothing, and `logger.warning` its bare text: uvicorn sets up its own loggers only."""
    assert said(SAYS) == ["send_receipt: printed", "send_receipt: warning"]


def test_with_one_line_of_configuration_it_is():
    """With `logging.basicConfig(level="INFO")` both are shown, with level and logger."""
    [printed, info, warning] = said("examples.context_and_logs.logging_set_up:app")
    assert printed == "send_receipt: printed"
    assert info.startswith("INFO:examples.context_and_logs")
    assert warning.startswith("WARNING:examples.context_and_logs")


def in_a_container(**env: str) -> "subprocess.Popen[bytes]":
    """The app whose standard output is no terminal, but a pipe."""
    command = [sys.executable, "-m", "uvicorn", SAYS, "--port", str(free_port())]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.Popen(
        command, cwd=ROOT, env=clean | env, stdout=PIPE, stderr=PIPE, bufsize=0
    )


def read_until(stream: IO[bytes] | None, text: bytes) -> bytes:
    """What a pipe gives until it has given this."""
    assert stream
    read = b""
    while text not in read:
        more = stream.read(10_000)
        assert more, read
        read += more
    return read


def test_a_print_waits_in_a_pipe():
    """Where standard output is a pipe, as in a container, what a task prints waits in a buffer, until uvicorn writes its next line there, or for ever if the process is stopped by `SIGTERM` before. What is logged comes at once."""
    with in_a_container() as server:
        address = read_until(server.stderr, b"Press CTRL").split(b"on ")[-1].split()[0]
        url = f"{address.decode()}/orders"
        client.post(url)
        read_until(server.stderr, b"send_receipt: warning")
        first = read_until(server.stdout, b"200 OK")
        client.post(url)
        read_until(server.stderr, b"send_receipt: warning")
        second = read_until(server.stdout, b"200 OK")
        server.terminate()
        rest = server.communicate()[0]
    assert b"printed" not in first
    assert second.count(b"printed") == 1
    assert b"printed" not in rest


@pytest.mark.slow
def test_with_PYTHONUNBUFFERED_it_does_not():
    """With `PYTHONUNBUFFERED=1` a print comes at once."""
    with in_a_container(PYTHONUNBUFFERED="1") as server:
        address = read_until(server.stderr, b"Press CTRL").split(b"on ")[-1].split()[0]
        client.post(f"{address.decode()}/orders")
        read_until(server.stdout, b"send_receipt: printed")
        server.terminate()
        server.communicate()


def test_a_span_of_your_own_belongs_to_the_trace_of_the_request():
    """What `create_task` starts gets no span from FastAPI. One of your own belongs to the trace of the request, whose own span has ended by then."""
    with serve("examples.context_and_logs.span_of_your_own:app") as server:
        client.post(f"{server.url}/prices")
        own = server.wait_for(" s refresh_prices ")
        request = server.wait_for(" s POST /prices ")
        assert "background_task" not in server.transcript()
    assert own.text.split()[-1] == request.text.split()[-1]
    assert request.time < own.time


INSTRUMENTED = "examples.context_and_logs.instrumented:app"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/orders", "/plain"])
def test_the_instrumented_request_ends_before_its_task(path: str):
    """With the package (0.66) the span of the request ends with the response, and does not include the task. The task, that of a plain response too, has a span of its own, `BackgroundTask send_receipt`. FastAPI makes none then."""
    with serve(INSTRUMENTED) as server:
        client.post(server.url + path)
        task = server.wait_for("s UNSET BackgroundTask send_receipt$")
        request = server.wait_for(f"s UNSET POST {path}$")
        assert "fastapi." not in server.transcript()
    assert_without_its_task(request, task)


@pytest.mark.slow
def test_what_a_task_raises_is_an_error_of_its_span_alone():
    """What the task raises makes its span an error. That of the request has ended, and has none."""
    with serve(INSTRUMENTED) as server:
        client.post(f"{server.url}/orders", params={"address": "ada"})
        server.wait_for("s ERROR BackgroundTask send_receipt$")
        server.wait_for("s UNSET POST /orders$")
        server.wait_for("ValueError: ada is no address")


def receipts(server: Server) -> set[float]:
    """What `/metrics` says of the counter when many ask at once."""
    with ThreadPoolExecutor(20) as threads:
        answers = threads.map(client.get, [f"{server.url}/metrics"] * 60)
        texts = [answer.raise_for_status().text for answer in answers]
    return {float(re.findall(r"^receipts_sent_total (.*)", t, re.M)[0]) for t in texts}


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
def test_each_worker_counts_for_itself(shared: bool, tmp_path: Path):
    """With two workers each counts for itself, and `/metrics` shows the counters of whichever answers. With `PROMETHEUS_MULTIPROC_DIR` every answer shows the sum."""
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {}
    target = "examples.context_and_logs.metrics:app"
    with serve(target, "--workers", "2", env=env) as server:
        post_at_once(server, "/orders", 41)  # odd: no two halves are the same
        seen: set[float] = set()
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            seen = receipts(server)
            if seen == {41} if shared else len(seen) == 2 and sum(seen) == 41:
                break
    assert seen == {41} if shared else len(seen) == 2 and sum(seen) == 41


def test_sentry_is_told_when_a_job_begins_and_how_it_ends():
    """`sentry_sdk.monitor` sends a check-in when the job begins, `in_progress`, and one when it has ended, `ok` or `error`. The first names the interval in which Sentry is to expect the next."""
    target = "examples.context_and_logs.checked_in:app"
    with a_sentry() as sentry, serve(target, env=sentry.env) as server:
        server.expect("ConnectionError|raised an exception")
        server.wait_for("refresh_prices: done")
        told = [sentry.next("check_in") for _ in range(4)]
    by_job = {
        slug: [each for each in told if each["monitor_slug"] == slug]
        for slug in ("refresh-prices", "send-digest")
    }
    for slug, end in {"refresh-prices": "ok", "send-digest": "error"}.items():
        first, last = by_job[slug]
        assert (first["status"], last["status"]) == ("in_progress", end)
        assert first["check_in_id"] == last["check_in_id"]
        assert first["monitor_config"]["schedule"]["value"] == 1
