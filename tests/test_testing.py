"""The statements of docs/testing.md."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner import client, serve
from runner.process import ROOT
from tests.copying import last_line_of_pytest, with_changes
from tests.terminal import positions

FILES = ROOT / "examples/testing"
ADD = "tasks.add_task(send_receipt, mailer, order)"


def run_published(
    folder: Path, *options: str, changes: dict[str, str], file: str = "main.py"
) -> str:
    """Run the published tests on a changed copy of an app; the last line they print."""
    shutil.copytree(FILES, folder, dirs_exist_ok=True)
    changed = folder / file
    changed.write_text(with_changes(changed.read_text(), changes))
    return last_line_of_pytest(folder, "-W", "error", *options)


@pytest.mark.slow
def test_the_tests_of_this_page_pass(tmp_path: Path):
    """The tests shown here pass, with every warning an error."""
    assert re.match(r"15 passed in ", run_published(tmp_path, changes={}))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {ADD: "pass"},
        {ADD: "tasks.add_task(print, order)"},
        {"mailer.send(order.email": 'mailer.send("bob@example.com"'},
    ],
    ids=["no task", "another task", "another address"],
)
def test_they_notice_a_task_that_is_missing_or_wrong(
    tmp_path: Path, changes: dict[str, str]
):
    """They fail if the task is not added, if it is another one, or if it writes to somebody else."""
    line = run_published(tmp_path, "test_main.py", changes=changes)
    assert re.match(r"[2-5] failed", line)


@pytest.mark.slow
def test_only_a_server_notices_that_the_client_waits(tmp_path: Path):
    """If the endpoint runs the task itself, before it answers, `TestClient` sees no difference; the test with a server fails."""
    changes = {
        ADD: "await run_in_threadpool(send_receipt, mailer, order)",
        "from pydantic": "from fastapi.concurrency import run_in_threadpool\nfrom pydantic",
    }
    with_client = ["test_main.py", "-k", "the_request_and_its_task"]
    assert re.match("1 passed", run_published(tmp_path, *with_client, changes=changes))
    with_server = ["test_with_a_server.py"]
    assert re.match("1 failed", run_published(tmp_path, *with_server, changes=changes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("prices.py", {"await asyncio.wait(app.state.running, timeout=5)": "pass"}),
        ("prices.py", {"app.state.running.add(task)": "pass"}),
        ("prices.py", {'yield {"currency": "EUR"}': "yield {}"}),
        ("news.py", {"readers.remove(name)": "pass"}),
        ("orders.py", {"with sessions.begin()": "with sessionmaker(engine).begin()"}),
    ],
    ids=[
        "nobody waits",
        "nobody holds it",
        "nothing is yielded",
        "who leaves is kept",
        "the app's own database",
    ],
)
def test_they_notice_a_wrong_app(tmp_path: Path, file: str, changes: dict[str, str]):
    """They fail if nobody waits for what `create_task` has started, or if the lifespan yields nothing; the one of the stream, if the app does not notice that its reader leaves; `test_orders.py`, if the task opens its session on the app's own database."""
    line = run_published(tmp_path, f"test_{file}", changes=changes, file=file)
    assert "1 failed" in line


WITH_STREAM = """
from fastapi.testclient import TestClient
from main import app
order = {"email": "ada@example.com", "item": "tea"}
with TestClient(app).stream("POST", "/orders", json=order) as answer:
    print(answer.status_code, flush=True)
    answer.read()
print("answered")
"""


@pytest.mark.slow
def test_test_client_streams_the_answer_before_the_task_has_ended():
    """With Starlette 1.10 `TestClient.stream` has the status before the task has ended. Reading the whole body waits for the task. If the test leaves the stream before it has read the whole body, the task never runs."""
    assert run(WITH_STREAM) == f"202\n{SENT_FIRST}"
    unread = WITH_STREAM.replace("answer.read()", "pass")
    assert run(unread) == "202\nanswered\n"


def run(script: str, *options: str) -> str:
    """Run a script beside the app; what it printed to both outputs."""
    return subprocess.run(
        [sys.executable, *options, "-c", script],
        cwd=FILES,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    ).stdout


WITH_TEST_CLIENT = """
from fastapi.testclient import TestClient
from main import app
order = {"email": "ada@example.com", "item": "tea"}
TestClient(app).post("/orders", json=order)
print("answered")
"""
WITH_TRANSPORT = """
import asyncio
import httpx2
from main import app
async def post():
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.post("/orders", json={"email": "ada@example.com", "item": "tea"})
asyncio.run(post())
print("answered")
"""
OF_A_STREAM = """
import asyncio
import httpx2
from news import app, readers
async def read():
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://x", timeout=0.5
    ) as client:
        async with asyncio.timeout(3), client.stream("GET", "/news"):
            print("answered")
try:
    asyncio.run(read())
except TimeoutError:
    print("nothing came")
"""
SENT_FIRST = "send: 'Your order: tea' to ada@example.com\nanswered\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        WITH_TEST_CLIENT,
        WITH_TRANSPORT,
        WITH_TRANSPORT.replace("httpx2", "httpx"),
    ],
    ids=["TestClient", "httpx2", "httpx"],
)
def test_clients_without_a_server_return_when_the_tasks_have_ended(script: str):
    """`TestClient` returns when the tasks have ended; so does `ASGITransport`, of `httpx2` as of `httpx`."""
    assert run(script) == SENT_FIRST


@pytest.mark.slow
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_asgi_transport_never_has_an_answer_that_does_not_end(library: str):
    """`AsyncClient` with `ASGITransport` has no answer, not even the status, before the app has sent all of it, of `httpx2` as of `httpx`. Its `timeout` does not count."""
    assert run(OF_A_STREAM.replace("httpx2", library)) == "nothing came\n"


def test_a_server_answers_before_the_task_has_ended():
    """From a server the client has its answer before the tasks have ended."""
    with serve("examples.testing.main:app") as server:
        client.post(
            f"{server.url}/orders", json={"email": "ada@example.com", "item": "tea"}
        )
        server.wait_for("send: 'Your order: tea' to ada@example.com")
        answered, sent = positions(server, "POST /orders", "send: ")
    assert answered < sent


@pytest.mark.slow
def test_without_httpx2_test_client_warns_and_waits_all_the_same():
    """Without `httpx2` Starlette's `TestClient` uses `httpx` and warns that this is deprecated. It waits all the same."""
    without = "import sys; sys.modules['httpx2'] = None\n" + WITH_TEST_CLIENT
    assert "install `httpx2` instead" in run(without)
    assert run(without, "-W", "ignore") == SENT_FIRST
    assert run(WITH_TEST_CLIENT, "-W", "error") == SENT_FIRST


@pytest.mark.slow
def test_background_tasks_cannot_be_overridden():
    """`dependency_overrides` does not reach `BackgroundTasks`: the task runs."""
    override = "from fastapi import BackgroundTasks\nimport main\n"
    override += "main.app.dependency_overrides[BackgroundTasks] = object\n"
    assert run(override + WITH_TEST_CLIENT) == SENT_FIRST
