"""The lines in which a reader writes requests: what they mean, and what is said of wrong ones."""

import shutil
import subprocess
from pathlib import Path

import pytest

from button.script import (
    SERVER,
    ScriptError,
    Send,
    Sleep,
    WaitFor,
    lines,
    parse,
    shell,
)
from recording.model import Request
from runner import serve
from runner.scenes import SCENES
from tests.button.running import RUNNABLE


def test_lines_follow_one_another():
    """A request waits for its answer unless `&` ends its line; what is waited for again is to be printed again."""
    assert parse(
        """
        # two orders
        POST /orders {"item": "tea"} &
        sleep 0.5
        wait-for order \\d: done
        wait-for order \\d: done
        get /orders?page=2
        """
    ) == [
        Send(Request("POST", "/orders", {"item": "tea"}), waits=False),
        Sleep(0.5),
        WaitFor(r"order \d: done", 1),
        WaitFor(r"order \d: done", 2),
        Send(Request("GET", "/orders?page=2")),
    ]


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("curl localhost:8000/", Request("GET", "/")),
        ("curl -X POST http://127.0.0.1:8000/task", Request("POST", "/task")),
        ("curl -sI http://testserver/a?b=1", Request("HEAD", "/a?b=1")),
        (
            "curl localhost:8000/a -H 'X-Token: tea' --json '{\"b\": 1}'",
            Request(
                "POST",
                "/a",
                headers=(("X-Token", "tea"), ("Content-Type", "application/json")),
                body='{"b": 1}',
            ),
        ),
        (
            "curl -X PUT -d 'a=1' -d 'b=2' localhost/a",
            Request(
                "PUT",
                "/a",
                headers=(("Content-Type", "application/x-www-form-urlencoded"),),
                body="a=1&b=2",
            ),
        ),
        (
            "curl localhost/a \\\n  -H 'content-type: text/plain' \\\n  -d tea",
            Request(
                "POST", "/a", headers=(("content-type", "text/plain"),), body="tea"
            ),
        ),
    ],
)
def test_curl_means_what_it_means_to_curl(line: str, request_: Request):
    assert parse(line) == [Send(request_)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is none"),
        ("sleep 1", "there is none"),
        ("\nPOST task", "line 2: a request is a method and a path"),
        ("FETCH /task", "line 1: a request is a method and a path"),
        ("POST /task {item: tea}", "line 1: the body is not JSON"),
        ("POST /task\nsleep soon", "line 2: sleep wants seconds, 0 to 600"),
        ("POST /task\nsleep 1e9", "line 2: sleep wants seconds, 0 to 600"),
        ("POST /task\nwait-for (", "line 2: wait-for wants a regular expression"),
        ("POST /task\nwait-for", "line 2: wait-for wants what the server prints"),
        ("curl -F file=@tea.png localhost/a", "line 1: curl: "),
        ("curl 'localhost/a", "line 1: "),
        ("curl", "line 1: curl: "),
        ("curl -H tea localhost/a", "line 1: curl: a header is NAME: VALUE"),
    ],
)
def test_a_line_that_means_nothing_is_named(text: str, said: str):
    with pytest.raises(ScriptError) as error:
        parse(text)
    assert said in str(error.value)


@pytest.mark.parametrize("name", RUNNABLE)
def test_what_a_scene_is_written_as_is_what_it_sends(name: str):
    steps = parse(lines(SCENES[name]))
    sent = [step.request for step in steps if isinstance(step, Send)]
    assert [(r.method, r.path, r.json) for r in sent] == [
        (r.method, r.path, r.json) for r in SCENES[name].requests
    ]


@pytest.mark.slow
def test_the_shell_script_sends_the_same_to_a_server(tmp_path: Path):
    """Run by `sh` with a real curl, the script sends the same to a server."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl (Debian: apt install curl)")
    order = """{"email": "ada@example.com", "item": "it's tea"}"""
    text = shell(
        f"POST /task {order} &\n# a comment\nsleep 0\n"
        f"curl localhost:8000/task --json '{order.replace(chr(39), '')}'"
    )
    file = tmp_path / "requests.sh"
    with serve("examples.background_tasks.with_arguments:app") as server:
        file.write_text(text.replace(SERVER, server.url))
        done = subprocess.run(["sh", file], capture_output=True, text=True, check=True)
        server.wait_for("""receipt for "it's tea" to ada""")
        server.wait_for("receipt for 'its tea' to ada")
    assert done.stdout.count("Task has been queued") == 2
