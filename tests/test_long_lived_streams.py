"""The statements of docs/long-lived-streams.md."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import httpx
import pytest
from uvicorn import Config
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.sync.client import ClientConnection, connect
from websockets.utils import generate_key

from runner import Server, client, serve
from runner.process import ROOT
from tests.copying import changed
from tests.older import serve_with_fastapi, serve_with_uvicorn
from tests.orders import ask_until
from tests.proxying import behind_nginx
from tests.services import redis_cli, running, settings_of
from tests.terminal import positions

pytestmark = pytest.mark.slow

ONCE_CLOSED = 'Cannot call "send" once a close message has been sent'
WORDS = ["Tea", "is", "ready", "at", "four"]


def events(response: httpx.Response) -> list[dict[str, str]]:
    """The fields of each event of a stream."""
    return [
        dict(line.split(": ", 1) for line in event.split("\n"))
        for event in response.text.strip().split("\n\n")
    ]


def address_of(server: Server, path: str) -> str:
    """The address of a WebSocket."""
    return server.url.replace("http", "ws") + path


def words(response: httpx.Response) -> list[str]:
    """The words of a stream of events, of which the last tells the end."""
    *data, end = events(response)
    assert end == {"event": "end", "data": '"no more"'}
    return [json.loads(event["data"]) for event in data]


def test_the_answer_goes_on_without_its_reader():
    """The reader leaves after the first word: the model goes on, and whoever comes back gets the whole answer."""
    with serve("examples.long_lived_streams.resumed:app") as server:
        begun = client.post(f"{server.url}/answers")
        assert begun.status_code == 202
        path = f"/answers/{begun.json()['answer']}"
        with client.stream("GET", server.url + path) as response:
            next(response.iter_bytes())
        server.wait_for("ask_model: done")
        assert words(client.get(server.url + path)) == WORDS


def test_an_answer_that_failed_says_so(tmp_path: Path):
    """The model fails after two words: its readers get these and then `failed`, in place of `end`."""
    target = "examples.long_lived_streams.resumed:app"
    fails = {'["Tea", "is", "ready", "at", "four"]': '["Tea", "is", 4]'}
    fails |= {"answer.words.append(word)": "answer.words.append(word + '')"}
    with serve("changed:app", env=changed({}, tmp_path, target, fails)) as server:
        server.expect("TypeError")
        answer = client.post(f"{server.url}/answers").json()["answer"]
        *_, end = events(client.get(f"{server.url}/answers/{answer}"))
        server.wait_for("the model failed")
    assert end == {"event": "failed", "data": '"no more"'}


def test_last_event_id_gets_the_rest():
    """With `Last-Event-ID: 2` the reader gets what comes after the second word."""
    with serve("examples.long_lived_streams.resumed:app") as server:
        answer = client.post(f"{server.url}/answers").json()["answer"]
        url = f"{server.url}/answers/{answer}"
        rest = client.get(url, headers={"Last-Event-ID": "2"})
        assert words(rest) == ["ready", "at", "four"]
        assert words(client.get(url, headers={"Last-Event-ID": "99"})) == []


def test_several_readers_get_the_same_answer():
    """Two tabs follow the same answer, and both get all of it."""
    with (
        serve("examples.long_lived_streams.resumed:app") as server,
        ThreadPoolExecutor() as threads,
    ):
        answer = client.post(f"{server.url}/answers").json()["answer"]
        url = f"{server.url}/answers/{answer}"
        readers = list(threads.map(client.get, [url, url]))
        server.wait_for("ask_model: done")
        server.stop()
        done = [line for line in server.lines if line.text == "ask_model: done"]
    assert [words(reader) for reader in readers] == [WORDS] * 2
    assert len(done) == 1


def test_an_answer_that_is_not_there_is_404():
    """An unknown answer is a `404`, and a `Last-Event-ID` that is no number a `422`, before the stream begins."""
    with serve("examples.long_lived_streams.resumed:app") as server:
        assert client.get(f"{server.url}/answers/nothing").status_code == 404
        answer = client.post(f"{server.url}/answers").json()["answer"]
        for wrong in ("-1", "last"):
            follow = f"{server.url}/answers/{answer}"
            refused = client.get(follow, headers={"Last-Event-ID": wrong})
            assert refused.status_code == 422


def test_an_event_stream_that_is_silent_sends_a_comment():
    """An endpoint that yields events sends `: ping` after 15 seconds of silence; a `StreamingResponse` sends nothing."""
    with (
        serve("examples.long_lived_streams.silent:app") as server,
        ThreadPoolExecutor() as threads,
    ):
        urls = [f"{server.url}/{path}" for path in ("events", "stream")]
        sent, streamed = (answer.text for answer in threads.map(client.get, urls))
    assert sent.split("\n\n")[0] == ": ping"
    assert "Tea is ready" in sent
    assert streamed == "Tea is ready"


ALL_AT_ONCE = "examples.long_lived_streams.all_at_once:app"


def words_at_once(url: str) -> int:
    """How many of the twenty words the first part of the answer has."""
    with client.stream("GET", url) as stream:
        return next(stream.iter_text()).count("word")


@pytest.mark.parametrize(
    ("path", "held_back"), [("held-back", True), ("answer", False)]
)
def test_nginx_holds_a_stream_back_until_its_end_unless_it_is_told(
    path: str, held_back: bool, tmp_path: Path
):
    """nginx holds back the words of a `StreamingResponse` until there are some kilobytes, here all of them, and passes each on if the response has `X-Accel-Buffering: no`."""
    with serve(ALL_AT_ONCE) as server, behind_nginx(server.url, tmp_path) as url:
        assert (words_at_once(f"{url}/{path}") == 20) == held_back


def test_event_streams_of_endpoints_that_yield_say_so_themselves():
    """An endpoint that yields, with `response_class=EventSourceResponse`, sends that header by itself."""
    with serve("examples.long_lived_streams.silent:app") as server:
        for path, header in (("events", "no"), ("stream", None)):
            with client.stream("GET", f"{server.url}/{path}") as stream:
                assert stream.headers.get("X-Accel-Buffering") == header


@pytest.mark.parametrize("version", ["", "0.115.0", "0.117.1"])
def test_a_stream_passes_through_the_compression_of_this_starlette(
    version: str, tmp_path: Path
):
    """`GZipMiddleware` passes each part on, compressed. That of Starlette 0.38 and 0.48 holds them back until the end."""
    gzip = {
        "app = FastAPI()\n": "app = FastAPI()\napp.add_middleware(GZipMiddleware)\n",
        "import FastAPI\n": "import FastAPI\nfrom fastapi.middleware.gzip import GZipMiddleware\n",
    }
    env = changed({}, tmp_path, ALL_AT_ONCE, gzip)
    serving = partial(serve_with_fastapi, version) if version else serve
    with serving("changed:app", env=env) as server:
        assert (words_at_once(f"{server.url}/answer") == 20) == bool(version)


def test_a_server_that_stops_waits_for_open_streams():
    """After `SIGTERM` uvicorn waits until the stream is over, and its reader gets all of it."""
    with serve("examples.after_the_stream.event_stream:app") as server:
        with client.stream("GET", f"{server.url}/answer") as response:
            chunks = response.iter_text()
            text = next(chunks)
            server.process.send_signal(SIGTERM)
            text += "".join(chunks)
        server.wait()
    assert "word 19" in text


@pytest.mark.parametrize(
    ("version", "cut"), [("0.43.0", True), ("0.44.0", True), ("0.45.0", False)]
)
def test_uvicorn_0_43_and_0_44_cut_open_streams_at_once(version: str, cut: bool):
    """uvicorn 0.43 and 0.44 told an open stream at a stop that its client had left: the answer was cut at once. 0.45 waits again."""
    target = "examples.after_the_stream.event_stream:app"
    with serve_with_uvicorn(version, target) as server:
        server.expect("BrokenResourceError|ERROR|Exception Group|websockets.legacy")
        with client.stream("GET", f"{server.url}/answer") as response:
            chunks = response.iter_text()
            text = next(chunks)
            server.process.send_signal(SIGTERM)
            with suppress(httpx.RemoteProtocolError):
                text += "".join(chunks)
        server.wait()
    assert ("word 19" in text) != cut


def test_with_a_limit_the_stream_is_cut():
    """With `--timeout-graceful-shutdown 1` the reader's stream is cut a second later."""
    limit = ("--timeout-graceful-shutdown", "1")
    with serve("examples.after_the_stream.event_stream:app", *limit) as server:
        with client.stream("GET", f"{server.url}/answer") as response:
            chunks = response.iter_text()
            next(chunks)
            server.process.send_signal(SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)
        server.wait_for("timeout graceful shutdown exceeded")
        server.wait()
        assert "word 19" not in server.transcript()


def test_a_websocket_pushes_what_it_was_asked_for():
    """It pushes while it receives: a share that the client names is pushed from then on."""
    with (
        serve("examples.long_lived_streams.push_and_receive:app") as server,
        connect(address_of(server, "/prices")) as websocket,
    ):
        websocket.send("TEA")
        assert json.loads(websocket.recv())["share"] == "TEA"
        websocket.send("MILK")
        while json.loads(websocket.recv())["share"] != "MILK":
            pass


def test_when_the_client_goes_the_pushing_ends():
    """The client goes, with a close frame or without: the pushing ends, then the endpoint."""
    with serve("examples.long_lived_streams.push_and_receive:app") as server:
        with connect(address_of(server, "/prices")) as websocket:
            websocket.send("TEA")
            websocket.recv()
        server.wait_for("push_prices: ended")
        server.wait_for("follow_prices: ended")
        with connect(address_of(server, "/prices")) as websocket:
            websocket.socket.shutdown(socket.SHUT_RDWR)
        server.wait_for("follow_prices: ended", nth=2)
        pushed, ended = positions(server, "push_prices: ended", "follow_prices: ended")
        assert "Exception" not in server.transcript()
    assert pushed < ended


def test_when_the_pushing_is_over_the_client_is_told():
    """The pushing is over: the socket is closed, the client is told, and the endpoint ends."""
    with (
        serve("examples.long_lived_streams.push_and_receive:app") as server,
        connect(address_of(server, "/prices")) as websocket,
    ):
        with pytest.raises(ConnectionClosedOK):
            websocket.recv()
        server.wait_for("follow_prices: ended")
        assert "Exception" not in server.transcript()


STOPPED = "examples.long_lived_streams.stopped:app"


@contextmanager
def a_chat(server: Server) -> Iterator[ClientConnection]:
    """A WebSocket over which something has been said."""
    with connect(address_of(server, "/chat")) as websocket:
        websocket.send("ada")
        assert websocket.recv() == "hello ada"
        yield websocket


def code_of(websocket: ClientConnection) -> int:
    """The code with which the other side closes it."""
    with pytest.raises(ConnectionClosedError) as closed:
        websocket.recv(timeout=30)
    assert closed.value.rcvd
    return closed.value.rcvd.code


SEND_AFTERWARDS = """
@app.websocket("/{ended_by}")
async def send_afterwards(socket: WebSocket, ended_by: str) -> None:
    await socket.accept()
    if ended_by == "server":
        await socket.close()
    else:
        async for _ in socket.iter_text():  # until the client has gone
            pass
    for call in (socket.send_text, socket.send_text, lambda _: socket.close()):
        try:
            await call("news")
        except (WebSocketDisconnect, RuntimeError) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
"""


@pytest.mark.parametrize(
    ("ended_by", "first"),
    [("server", ONCE_CLOSED), ("client", "^WebSocketDisconnect: ")],
)
def test_a_send_after_the_end_raises_and_so_does_a_close(
    ended_by: str, first: str, tmp_path: Path
):
    """After `close()` a `send_text` or a second `close()` is a `RuntimeError`, `Cannot call "send" once a close message has been sent`. If the client has gone, the first `send_text` is a `WebSocketDisconnect`, and all after it are that `RuntimeError`."""
    changes = {
        "import FastAPI, WebSocket": "import FastAPI, WebSocket, WebSocketDisconnect",
        '@app.websocket("/prices")': f'{SEND_AFTERWARDS}\n\n@app.websocket("/prices")',
    }
    target = "examples.long_lived_streams.push_and_receive:app"
    with serve("changed:app", env=changed({}, tmp_path, target, changes)) as server:
        with connect(address_of(server, f"/{ended_by}")):
            pass
        server.wait_for(first)
        server.wait_for(ONCE_CLOSED, nth=3 if ended_by == "server" else 2)


@pytest.mark.parametrize("sent", [SIGTERM, SIGINT])
def test_a_stop_closes_open_websockets_with_1012(sent: Signals):
    """When uvicorn is asked to stop, it closes every WebSocket with code 1012, “service restart”. An endpoint that receives gets a `WebSocketDisconnect` with that code, and uvicorn waits for what it still awaits."""
    with serve(STOPPED) as server:
        with a_chat(server) as websocket:
            server.process.send_signal(sent)
            assert code_of(websocket) == 1012
        server.wait()
        told, archived, ended = positions(
            server,
            "chat: closed with 1012",
            "archive_chat: awaited",
            "Application shutdown complete",
        )
    assert told < archived < ended


def test_a_task_that_a_websocket_endpoint_has_started_is_lost_at_a_stop(tmp_path: Path):
    """It does not wait for what the endpoint has given to `create_task`."""
    slower = {
        "await asyncio.sleep(1)": "await asyncio.sleep(1 + 60 * (how != 'awaited'))"
    }
    with serve("changed:app", env=changed({}, tmp_path, STOPPED, slower)) as server:
        with a_chat(server):
            server.stop()
        server.wait_for("archive_chat: awaited")
        assert "in a task" not in server.transcript()


@pytest.mark.parametrize("limit", [(), ("--timeout-graceful-shutdown", "1")])
def test_an_endpoint_that_never_receives_is_not_told(limit: tuple[str, ...]):
    """An endpoint that only waits for a queue is not told, though the client is, by 1012: uvicorn waits for it without a limit. At the limit of `--timeout-graceful-shutdown` it is cancelled, and its `finally` runs."""
    with serve(STOPPED, *limit) as server:
        server.expect("timeout graceful shutdown exceeded")
        with connect(address_of(server, "/news")) as websocket:
            client.post(f"{server.url}/news/tea")
            assert websocket.recv() == "tea"
            server.process.send_signal(SIGTERM)
            assert code_of(websocket) == 1012
        server.wait_for("Waiting for background tasks to complete")
        if limit:
            server.wait_for("timeout graceful shutdown exceeded")
            server.wait_for("follow_news: ended")
            server.wait()
        else:
            server.kill()
            assert "follow_news: ended" not in server.transcript()


PINGED = "examples.long_lived_streams.pinged:app"


def pinging(server: Server, path: str) -> ClientConnection:
    """A client that pings each half second, and waits two for the answer."""
    return connect(address_of(server, path), ping_interval=0.5, ping_timeout=2)


def test_while_the_event_loop_is_blocked_no_ping_is_answered():
    """The client pings, and gives up: `1011`, `keepalive ping timeout`. The server sends its answer all the same, to nobody."""
    with serve(PINGED) as server:
        with pinging(server, "/blocking") as websocket:
            websocket.send("tea")
            with pytest.raises(ConnectionClosedError) as closed:
                websocket.recv(timeout=30)
        server.wait_for("answer: tea at four sent")
    assert closed.value.sent
    assert closed.value.sent.code == 1011
    assert closed.value.sent.reason == "keepalive ping timeout"


def test_work_in_a_thread_lets_pings_through():
    """The same work in a thread: the client has its answer."""
    with serve(PINGED) as server, pinging(server, "/in-a-thread") as websocket:
        websocket.send("tea")
        assert websocket.recv(timeout=30) == "tea at four"


def test_a_client_that_answers_no_ping_is_cut():
    """uvicorn pings too, each twenty seconds by default. A client that does not answer within `--ws-ping-timeout` is cut with `1011`. The endpoint is told another code, `1005`."""
    assert [Config(STOPPED).ws_ping_interval, Config(STOPPED).ws_ping_timeout] == [
        20,
        20,
    ]
    upgrade = (
        "GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {generate_key()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    options = ("--ws-ping-interval", "1", "--ws-ping-timeout", "1")
    with serve(STOPPED, *options) as server:
        with socket.create_connection(server.address, timeout=30) as silent:
            silent.sendall(upgrade.encode())
            frames = b"".join(iter(lambda: silent.recv(1000), b""))
        server.wait_for("chat: closed with 1005")
    assert frames.endswith((1011).to_bytes(2) + b"keepalive ping timeout")


SUBSCRIBE_A_HUNDRED_TIMES = """\
import asyncio, sys
from redis.asyncio import Redis
from redis.exceptions import MaxConnectionsError

async def main() -> None:
    async with Redis.from_url(sys.argv[1]) as client:
        readers = [client.pubsub() for _ in range(100)]
        for reader in readers:
            await reader.subscribe("news")
        try:
            await client.get("anything")
        except MaxConnectionsError as error:
            print(error)
        for reader in readers:
            await reader.aclose()

asyncio.run(main())
"""


@pytest.mark.queues
def test_a_subscription_for_each_reader_takes_all_connections_of_the_client(
    tmp_path: Path,
):
    """A subscription keeps a connection as long as it lasts, and a client of redis-py 8 has a hundred. With one for each reader the next command, of whatever request, is a `MaxConnectionsError: Too many connections`. So one for each process, passed on."""
    env = settings_of("examples.long_lived_streams.news_from_a_worker:app", tmp_path)
    command = [sys.executable, "-c", SUBSCRIBE_A_HUNDRED_TIMES, env["REDIS"]]
    said = subprocess.check_output(command, env=os.environ | env, text=True)
    assert said == "Too many connections\n"


@pytest.mark.queues
def test_what_a_worker_publishes_reaches_the_sockets_of_each_process(tmp_path: Path):
    """Two processes of the app have a client each, and a job runs in a third. It publishes to Redis, and both clients get the news. The process of the job has no socket. Redis is killed and comes back: both go on."""
    target = "examples.long_lived_streams.news_from_a_worker:app"
    env = settings_of(target, tmp_path)
    service = running("redis")
    job = (
        "from examples.long_lived_streams import news_from_a_worker as main\n"
        "main.build_report(7)\nprint(len(main.open_sockets), 'sockets')"
    )

    def listening() -> str:
        return redis_cli("pubsub", "numsub", "news").split()[-1]

    with (
        serve(target, env=env) as first,
        serve(target, env=env) as second,
        connect(address_of(first, "/news")) as one,
        connect(address_of(second, "/news")) as other,
    ):
        first.expect("the news are followed again")
        second.expect("the news are followed again")
        assert [one.recv(timeout=30), other.recv(timeout=30)] == ["connected"] * 2
        for _ in range(2):
            ask_until(listening, lambda number: number == "2", 30)
            done = subprocess.run(
                (sys.executable, "-c", job),
                env={**os.environ, **env},
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
            assert done.stdout == "0 sockets\n"
            news = [one.recv(timeout=30), other.recv(timeout=30)]
            assert news == ["report 7 is ready"] * 2
            service.kill()
            service.start()
