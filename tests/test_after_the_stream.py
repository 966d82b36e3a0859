"""The statements of docs/after-the-stream.md."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from runner import Server, client, serve
from tests.copying import changed
from tests.terminal import positions

pytestmark = pytest.mark.slow

WHOLE = "Tea is ready at four "


def leave(server: Server, path: str) -> None:
    """Read what comes first of a stream, and go away."""
    with client.stream("GET", server.url + path) as response:
        next(response.iter_bytes())


def test_a_reader_who_leaves_cancels_what_finally_awaits():
    """When the reader leaves, the first `await` in `finally` is cancelled too: nothing is saved."""
    with serve("examples.after_the_stream.lost_in_finally:app") as server:
        assert client.get(f"{server.url}/answer").text == WHOLE
        leave(server, "/answer")
        server.stop()
        saved = [line.text for line in server.lines if "save_answer" in line.text]
    assert saved == [f"save_answer: {WHOLE}"]


def test_shielded_it_is_saved_whether_the_reader_stays_or_leaves():
    """Shielded, the whole answer is saved, or what had come of it when the reader left."""
    with serve("examples.after_the_stream.saved_shielded:app") as server:
        client.get(f"{server.url}/answer")
        leave(server, "/answer")
        server.wait_for("save_answer", nth=2)
        whole, part = client.get(f"{server.url}/answers").json()
    assert whole == WHOLE
    assert WHOLE.startswith(part)
    assert 0 < len(part) < len(WHOLE)


def test_a_task_saves_what_the_stream_has_collected():
    """Under uvicorn a background task of a `StreamingResponse` saves the same."""
    with serve("examples.after_the_stream.saved_in_a_task:app") as server:
        client.get(f"{server.url}/answer")
        server.wait_for(f"save_answer: {WHOLE}")
        leave(server, "/answer")
        part = server.wait_for("save_answer", nth=2).text.removeprefix("save_answer: ")
    assert WHOLE.startswith(part)
    assert 0 < len(part) < len(WHOLE)


def test_in_an_event_stream_the_model_goes_on_while_the_task_runs():
    """The reader of an event stream leaves: the task runs first, and meanwhile the generator, and the model, go on."""
    with serve("examples.after_the_stream.event_stream:app") as server:
        server.expect("BrokenResourceError")  # which the next test waits for
        leave(server, "/answer")
        server.wait_for("save_answer: done")
        lines = [line.text for line in server.lines]
    begun = next(i for i, line in enumerate(lines) if line.startswith("save_answer"))
    meanwhile = lines[begun : lines.index("save_answer: done")]
    assert any(line.startswith("ask_model: word") for line in meanwhile)
    assert "ask_model: closed" not in meanwhile


def test_and_ends_with_a_BrokenResourceError():
    """If the model has gone on meanwhile, the terminal then shows a `BrokenResourceError`."""
    with serve("examples.after_the_stream.event_stream:app") as server:
        leave(server, "/answer")
        server.wait_for("anyio.BrokenResourceError")


def test_a_shielded_finally_saves_an_event_stream(tmp_path: Path):
    """In a shielded `finally` of the endpoint, without a task, the words are saved that came before the reader left, and the model is closed."""
    saves = {
        "import asyncio\n": "import asyncio\nfrom anyio import CancelScope\n",
        "    background_tasks.add_task(save_answer, words)\n": "",
        """    async for word in ask_model():
        words.append(word)
        yield word
""": """    try:
        async for word in ask_model():
            words.append(word)
            yield word
    finally:
        with CancelScope(shield=True):
            await save_answer(words)
""",
    }
    target = "examples.after_the_stream.event_stream:app"
    with serve("changed:app", env=changed({}, tmp_path, target, saves)) as server:
        leave(server, "/answer")
        server.wait_for("save_answer: done")
        server.wait_for("ask_model: closed")
        said = server.transcript()
    saved = int(re.findall(r"save_answer: (\d+) words", said)[0])
    assert saved == said.count("ask_model: word") > 0


def test_the_model_sees_its_caller_go():
    """The reader leaves: the call to the model ends with the generator, and the model stops speaking."""
    with serve("examples.after_the_stream.stop_paying:app") as server:
        assert client.get(f"{server.url}/answer").text == WHOLE
        server.wait_for("model: spoke 5 words")
        leave(server, "/answer")
        server.wait_for("model: spoke [0-4] words")


def give_up(url: str) -> None:
    """Post a request and give up before the answer comes."""
    with pytest.raises(httpx.ReadTimeout):
        client.post(url, timeout=httpx.Timeout(30, read=0.5))


def test_a_plain_request_is_cancelled_when_its_client_leaves():
    """The client gives up: the model's call is cancelled. A client that waits gets its answer."""
    with serve("examples.after_the_stream.client_gone:app") as server:
        give_up(f"{server.url}/answers")
        server.wait_for("ask_model: cancelled")
        answer = client.post(f"{server.url}/answers")
        server.stop()
        done = [line for line in server.lines if line.text == "ask_model: done"]
    assert answer.json() == {"answer": "Tea is at four."}
    assert len(done) == 1


def test_what_the_work_raises_leaves_the_group_as_an_exception_group(tmp_path: Path):
    """An `HTTPException` that the work raises leaves the group as an `ExceptionGroup`, which no handler knows: the client gets a 500."""
    target = "examples.after_the_stream.client_gone:app"
    refuses = {'    print("ask_model: started")\n': "    raise HTTPException(404)\n"}
    with serve("changed:app", env=changed({}, tmp_path, target, refuses)) as server:
        answer = client.post(f"{server.url}/answers")
        server.wait_for("ExceptionGroup: unhandled errors in a TaskGroup")
    assert answer.status_code == 500


def test_behind_a_middleware_is_disconnected_is_always_false():
    """Behind an `http` middleware `is_disconnected()` stays `False`: the model's call runs to its end."""
    with serve("examples.after_the_stream.client_gone:app") as server:
        give_up(f"{server.url}/answers-polled")
        server.wait_for("ask_model: done")
        assert "cancelled" not in server.transcript()


def test_a_stream_that_fails_loses_its_tasks():
    """The generator raises: the client has a `200` and half of the body, and the tasks do not run."""
    with serve("examples.after_the_stream.torn:app") as server:
        with client.stream("GET", f"{server.url}/answer") as response:
            assert response.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                response.read()
        server.wait_for("ConnectionError: the model has gone")
        server.stop()
        assert "save_answer" not in server.transcript()


def test_a_stream_that_says_so_keeps_them():
    """The generator catches the failure and says so: the body ends, and the tasks run."""
    with serve("examples.after_the_stream.torn:app") as server:
        text = client.get(f"{server.url}/answer-to-the-end").text
        server.wait_for("save_answer: done")
    assert text == "Tea is (the model has failed)"


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        ("examples.after_the_stream.session_held:app", [200, 200, 500, 500]),
        ("examples.after_the_stream.session_released:app", [200] * 4),
    ],
)
def test_a_session_keeps_its_connection_until_the_stream_ends(
    target: str, statuses: list[int]
):
    """Of four streams at once, with a pool of two, two fail; with `scope="function"` none."""
    with (
        serve(target) as server,
        ThreadPoolExecutor(4) as threads,
    ):
        server.expect("QueuePool limit of size 2")
        answers = list(threads.map(client.get, [f"{server.url}/answer"] * 4))
    assert sorted(answer.status_code for answer in answers) == statuses
    assert {a.text for a in answers if a.status_code == 200} == {
        "When is tea? At four "
    }


def collect(server: Server) -> None:
    """Let Python collect its garbage."""
    client.get(f"{server.url}/collect")


def ended(server: Server, generator: str) -> str:
    """With which exception the generator ends, once Python has collected it."""
    ends = f"{generator}: [A-Z]"
    while not any(re.match(ends, line.text) for line in server.lines):
        collect(server)
    return server.wait_for(ends).text.removeprefix(f"{generator}: ")


def test_a_def_generator_is_left_standing():
    """The reader leaves: a `def` generator is not cancelled. It is left at its `yield`, and gets a `GeneratorExit` when Python collects it."""
    with serve("examples.after_the_stream.left_standing:app") as server:
        leave(server, "/rows")
        assert ended(server, "read_rows") == "GeneratorExit"


def test_between_two_yields_nothing_ends_a_def_generator(tmp_path: Path):
    """A `def` generator yields once for each ten rows. The client leaves while it fetches the next ten: it fetches these to the end, and no further ones."""
    batches = {
        "            time.sleep(0.2)  # stands in for a query\n": """            for row in range(10):
                time.sleep(0.05)
                print(f"read_rows: row {number}{row}")
"""
    }
    env = changed({}, tmp_path, "examples.after_the_stream.left_standing:app", batches)
    with serve("changed:app", env=env) as server:
        leave(server, "/rows")
        server.wait_for("read_rows: row 19")
        assert ended(server, "read_rows") == "GeneratorExit"
        assert "read_rows: row 20" not in server.transcript()


AWAITS_NOTHING = {
    "            await asyncio.sleep(0.001)": "            time.sleep(0.05)",
    ".ljust(100_000)": "",
}
RETURNED = {
    "range(1_000)": "range(40)",
    '@app.get("/export", response_class=TextStream)\n': "",
    '@app.get("/collect")': """@app.get("/export")
async def export_rows() -> StreamingResponse:
    return StreamingResponse(export())


@app.get("/collect")""",
}


@pytest.mark.parametrize("returned", [True, False])
def test_an_async_generator_that_awaits_nothing_is_not_stopped_if_it_is_returned(
    returned: bool, tmp_path: Path
):
    """An `async` generator blocks between its chunks and awaits nothing. Returned in a `StreamingResponse` it goes on to its end when the reader has left, and no other request is answered meanwhile. In an endpoint that yields, others get their turn after each chunk, and it ends soon after the reader has left."""
    changes = AWAITS_NOTHING | (RETURNED if returned else {})
    env = changed({}, tmp_path, "examples.after_the_stream.left_standing:app", changes)
    with serve("changed:app", env=env) as server:
        leave(server, "/export")
        collect(server)
        if returned:
            server.wait_for("GET /collect")
            last, answered = positions(server, "export: row 39", "GET /collect")
            assert last < answered
        else:
            assert ended(server, "export") == "GeneratorExit"
            assert "export: row 999" not in server.transcript()


def wait_until_it_waits(server: Server) -> None:
    """Ask the server for something until twenty answers bring no further row."""
    rows = -1
    while rows < (rows := len(server.lines)):
        for _ in range(20):
            collect(server)


def test_so_is_an_async_generator_whose_reader_was_slow():
    """An `async` generator of an endpoint that yields is left standing too, if it waits at its `yield` for a slow reader."""
    with serve(
        "examples.after_the_stream.left_standing:app", "--no-access-log"
    ) as server:
        with socket.create_connection(server.address) as connection:
            connection.sendall(b"GET /export HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.wait_for("export: row 0")
            wait_until_it_waits(server)
        assert ended(server, "export") == "GeneratorExit"
        assert "export: row 999" not in server.transcript()
