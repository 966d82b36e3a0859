"""The statements of docs/thread-pool.md."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from anyio._backends._asyncio import WorkerThread
from fastapi.testclient import TestClient
from uvicorn.importer import import_from_string

from runner import Server, client, new_client, serve
from tests.copying import changed
from tests.load import post_at_once
from tests.orders import ask_until
from tests.terminal import positions


def fill_four_threads(server: Server) -> None:
    """Post four slow tasks and wait until all are at work."""
    with new_client(base_url=server.url) as client:
        for _ in range(4):
            assert client.post("/thumbnail").status_code == 200
    server.wait_for("make_thumbnail: started", nth=4)


@pytest.mark.parametrize("path", ["/def", "/async-def-with-a-def-dependency"])
@pytest.mark.slow
def test_what_needs_a_thread_waits_while_tasks_hold_them_all(path: str):
    """While `def` tasks hold all threads, a `def` endpoint waits, and so does an `async def` endpoint with a `def` dependency."""
    with serve("examples.thread_pool.shared_threads:app") as server:
        fill_four_threads(server)
        answer = client.get(f"{server.url}{path}")
        server.wait_for(f"GET {path} ")
        done, answered = positions(server, "make_thumbnail: done", f"GET {path} ")
    assert answer.status_code == 200
    assert done < answered


@pytest.mark.slow
def test_an_async_def_endpoint_without_threads_does_not_wait():
    """An `async def` endpoint that needs no thread is answered at once."""
    with serve("examples.thread_pool.shared_threads:app") as server:
        fill_four_threads(server)
        answer = client.get(f"{server.url}/async-def")
        server.wait_for("make_thumbnail: done")
        answered, done = positions(server, "GET /async-def ", "make_thumbnail: done")
    assert answer.json() == "tea"
    assert answered < done


@pytest.mark.slow
def test_nothing_pushes_back_when_the_threads_are_taken():
    """Nothing pushes back: with all threads taken, another task is accepted at once, and waits."""
    with serve("examples.thread_pool.shared_threads:app") as server:
        fill_four_threads(server)
        fifth = client.post(f"{server.url}/thumbnail")
        server.wait_for("make_thumbnail: started", nth=5)
        lines = [line.text for line in server.lines]
    accepted = [i for i, text in enumerate(lines) if "POST /thumbnail" in text]
    started = [i for i, text in enumerate(lines) if text == "make_thumbnail: started"]
    assert fifth.json() == {"message": "Task has been queued"}
    assert accepted[4] < lines.index("make_thumbnail: done") < started[4]


@pytest.mark.slow
def test_a_file_response_waits_for_a_thread():
    """A `FileResponse` waits for a thread to read the file."""
    with serve("examples.thread_pool.files_need_threads:app") as server:
        fill_four_threads(server)
        answer = client.get(f"{server.url}/prices")
        server.wait_for("GET /prices")
        done, answered = positions(server, "make_thumbnail: done", "GET /prices")
    assert answer.text == "item,price\ntea,3.90\n"
    assert done < answered


@pytest.mark.parametrize(("size", "waits"), [(2_000_000, True), (1_000, False)])
@pytest.mark.slow
def test_an_upload_of_more_than_a_megabyte_waits_for_a_thread(size: int, waits: bool):
    """An upload of more than 1 MB waits for a thread to write it to disk; a smaller one stays in memory and does not."""
    with serve("examples.thread_pool.files_need_threads:app") as server:
        fill_four_threads(server)
        answer = client.post(f"{server.url}/photo", files={"photo": b"x" * size})
        server.wait_for("make_thumbnail: done")
        server.wait_for("POST /photo")
        done, answered = positions(server, "make_thumbnail: done", "POST /photo")
    assert answer.json() == {"bytes": size}
    assert (done < answered) == waits


STREAMS = "examples.thread_pool.def_generator:app"


@contextmanager
def reader(server: Server, path: str) -> Iterator[None]:
    """A reader of a stream, while the block runs."""
    with client.stream("GET", server.url + path) as response:
        next(response.iter_bytes())
        yield


@pytest.mark.slow
def test_a_def_generator_takes_a_thread_for_each_chunk():
    """The generator works on each word in a thread, and a `def` endpoint waits until the word has come."""
    with serve(STREAMS) as server, ThreadPoolExecutor(1) as thread:
        stream = thread.submit(client.get, f"{server.url}/blocking-client")
        server.wait_for("word 0 is asked for in AnyIO worker thread")
        answer = client.get(f"{server.url}/def")
        server.wait_for("word 1 is asked for in AnyIO worker thread")
        come, answered = positions(server, "word 0 has come", "GET /def ")
        assert stream.result().text == "word 0\nword 1\nword 2\n"
    assert answer.json() == "ada"
    assert come < answered


def test_a_def_endpoint_needs_a_thread_for_its_result_too(tmp_path: Path):
    """What a `def` endpoint returns is checked against its return type in a thread too, and waits for that once more; what an `async def` endpoint returns is checked on the event loop."""
    told = """from pydantic import AfterValidator
from typing import Annotated

def tell(text: str) -> str:
    print(f"{text} checked in {current_thread().name}")
    return text

Told = Annotated[str, AfterValidator(tell)]

@app.get("/async-def")
async def read_item() -> Told:
    return "tea"


@app.get("/def")
def read_user() -> Told:"""
    changes = {'@app.get("/def")\ndef read_user() -> str:': told}
    with serve("changed:app", env=changed({}, tmp_path, STREAMS, changes)) as server:
        client.get(f"{server.url}/def")
        client.get(f"{server.url}/async-def")
        server.wait_for("ada checked in AnyIO worker thread")
        server.wait_for("tea checked in MainThread")


@pytest.mark.slow
def test_at_its_yield_the_thread_is_free_for_others(tmp_path: Path):
    """The only thread works on a stream that does not end. A `def` endpoint gets its turn between two words."""
    endless = {"range(3)": "range(1_000_000)", "sleep(1)": "sleep(0.2)"}
    env = changed({}, tmp_path, STREAMS, endless)
    with serve("changed:app", env=env) as server, reader(server, "/blocking-client"):
        for _ in range(3):
            assert client.get(f"{server.url}/def").json() == "ada"


@pytest.mark.slow
def test_an_async_def_generator_takes_no_thread():
    """Two streams of `async def` generators wait for their words at the same time, in the event loop's thread."""
    with serve(STREAMS) as server, reader(server, "/async-client"):
        client.get(f"{server.url}/async-client")
        asked = [line.text for line in server.lines if "is asked for" in line.text]
    assert {text.partition(" in ")[2] for text in asked} == {"MainThread"}


def fifty_thumbnails(server: Server) -> dict[str, float]:
    """What GET /threads says after fifty tasks have been added."""
    with new_client(base_url=server.url) as client:
        for _ in range(50):
            client.post("/thumbnail")
        threads: dict[str, float] = client.get("/threads").json()
    return threads


def test_forty_def_tasks_run_at_once_and_the_rest_waits():
    """Of fifty `def` tasks forty are at work, whatever the number of cores; ten wait."""
    with serve("examples.thread_pool.how_full:app") as server:
        threads = fifty_thumbnails(server)
    assert threads == {"limit": 40, "at_work": 40, "waiting": 10}


def test_with_a_limit_of_a_hundred_all_fifty_run():
    """With the limit at 100, all fifty are at work."""
    with serve("examples.thread_pool.raised_limit:app") as server:
        threads = fifty_thumbnails(server)
    assert threads == {"limit": 100, "at_work": 50, "waiting": 0}


def test_the_limit_belongs_to_an_event_loop():
    """`TestClient` without `with` has a loop of its own for each request, and a limit of 40 in it. In `with` the lifespan has raised it."""
    app = import_from_string("examples.thread_pool.raised_limit:app")
    with TestClient(app) as with_lifespan:
        assert with_lifespan.get("/threads").json()["limit"] == 100
    assert TestClient(app).get("/threads").json()["limit"] == 40


@pytest.mark.slow
def test_a_limiter_of_their_own_keeps_tasks_out_of_the_shared_pool():
    """Tasks with a `CapacityLimiter` of their own wait for each other; the shared pool stays free."""
    with serve("examples.thread_pool.own_limiter:app") as server:
        with new_client(base_url=server.url) as posting:
            for number in range(4):
                posting.post(f"/thumbnails/{number}")
        server.wait_for("thumbnail .: started", nth=2)
        answer = client.get(f"{server.url}/def")
        server.wait_for("thumbnail .: done", nth=4)
        lines = [line.text for line in server.lines if "thumbnail " in line.text]
        answered, done = positions(server, "GET /def ", "done")
    at_work = [
        sum(text.endswith("started") for text in lines[:n])
        - sum(text.endswith("done") for text in lines[:n])
        for n in range(len(lines) + 1)
    ]
    assert answer.json() == "ada"
    assert answered < done
    assert max(at_work) == 2


@pytest.mark.slow
def test_idle_threads_stay_until_the_next_call(tmp_path: Path):
    """After forty calls at once a process keeps forty threads, also when nobody needs them. After ten idle seconds (here one) the next call ends all but those that it needs. Another forty calls make no more than forty."""
    assert WorkerThread.MAX_IDLE_TIME == 10
    changes = {
        "time.sleep(10)": "gate.wait(60); print('made')",
        "app = FastAPI()\n": """app = FastAPI()
import threading
from anyio._backends._asyncio import WorkerThread
WorkerThread.MAX_IDLE_TIME = 1
gate = threading.Event()
""",
        '@app.get("/threads")': """@app.post("/gate")
async def open_or_close() -> None:
    gate.clear() if gate.is_set() else gate.set()


@app.get("/threads")""",
    }
    env = changed({}, tmp_path, "examples.thread_pool.how_full:app", changes)
    with serve("changed:app", env=env) as server:
        process = psutil.Process(server.process.pid)
        before = process.num_threads()

        def threads_after(calls: int, *, made: int) -> int:
            """How many threads more there are when so many calls have ended, and a second later."""
            assert set(post_at_once(server, "/thumbnail", calls)) == {200}
            ask = partial(client.get, f"{server.url}/threads")
            ask_until(lambda: ask().json()["at_work"], lambda n: n == calls, 60)
            client.post(f"{server.url}/gate")
            server.wait_for("made", nth=made)
            client.post(f"{server.url}/gate")
            threads = process.num_threads() - before
            time.sleep(1.2)  # idle for longer than a second
            assert process.num_threads() - before == threads
            return threads

        assert threads_after(40, made=40) == 40
        assert threads_after(1, made=41) <= 2
        assert threads_after(40, made=81) == 40


def test_asyncio_to_thread_uses_another_pool():
    """`asyncio.to_thread` uses the event loop's default executor; a `def` task does not, whatever `set_default_executor` has set."""
    with serve("examples.thread_pool.two_pools:app") as server:
        client.post(f"{server.url}/task")
        of_the_task = server.wait_for("build_report ran in")
        of_asyncio = server.wait_for("build_report ran in", nth=2)
    assert of_the_task.text == "build_report ran in AnyIO worker thread"
    assert of_asyncio.text == "build_report ran in report thread_0"


def test_a_server_with_a_limit_on_concurrency_counts_running_tasks():
    """With `--limit-concurrency 5`, five running tasks make the next request a 503, though their responses have left."""
    options = ("--limit-concurrency", "5")
    with serve("examples.thread_pool.how_full:app", *options) as server:
        accepted = [client.post(f"{server.url}/thumbnail") for _ in range(5)]
        refused = client.get(f"{server.url}/threads")
    assert [answer.status_code for answer in accepted] == [200] * 5
    assert refused.status_code == 503
    assert refused.text == "Service Unavailable"
