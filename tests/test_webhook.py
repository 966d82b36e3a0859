"""The statements of docs/recipes/webhook.md."""

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from runner import Server, client, serve
from tests.listening import Silent, listening
from tests.load import REQUESTS, load

KEY = b"a secret of the tests"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
ORDER = {"item": "tea", "count": 2}


class Receiver(ThreadingHTTPServer):
    """The other side: checks signatures, and answers the first requests as told."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.answers: list[int] = []
        self.refused = ""
        """The item that gets `503`."""
        self.received: list[tuple[str, dict[str, object], bool]] = []
        """The id, the event, and whether the signature was right."""


class Receive(Silent):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        event_id, sent_at = (
            self.headers[f"webhook-{name}"] for name in ("id", "timestamp")
        )
        signed = f"{event_id}.{sent_at}.".encode() + body
        digest = hmac.new(KEY, signed, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(digest).decode()
        right = hmac.compare_digest(self.headers["webhook-signature"], wanted)
        self.server.received.append((event_id, json.loads(body), right))
        status = self.server.answers.pop(0) if self.server.answers else 204
        refused = self.server.refused and self.server.refused in body.decode()
        self.send_response(503 if refused else status)
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening(Receiver()) as receiver:
        yield receiver


@pytest.fixture
def server(receiver: Receiver) -> Iterator[Server]:
    settings = {
        "WEBHOOK_URL": f"http://127.0.0.1:{receiver.server_port}/",
        "WEBHOOK_SECRET": SECRET,
    }
    with serve("examples.recipes.webhook:app", env=settings) as server:
        yield server


def test_the_receiver_has_the_event_and_can_check_the_signature(
    server: Server, receiver: Receiver
):
    """The receiver has the event, and the signature over id, time and body is right."""
    answer = client.post(f"{server.url}/orders", json=ORDER)
    server.wait_for("tell: .* delivered")
    event = {"type": "order.created", **ORDER}
    assert receiver.received == [(answer.json()["event"], event, True)]


@pytest.mark.slow
def test_a_retry_has_the_same_id(server: Server, receiver: Receiver):
    """After `503` and `429` it is sent again with the same id, so the receiver can tell a retry from a second order."""
    receiver.answers = [503, 429]
    client.post(f"{server.url}/orders", json=ORDER)
    server.wait_for("tell: .* delivered")
    assert len(receiver.received) == 3
    assert len({event_id for event_id, _, _ in receiver.received}) == 1
    assert all(right for _, _, right in receiver.received)


def test_a_refusal_is_not_repeated(server: Server, receiver: Receiver):
    """After `400` it is not sent again; the log has the event."""
    receiver.answers = [400]
    answer = client.post(f"{server.url}/orders", json=ORDER)
    server.wait_for(f"tell: {answer.json()['event']} given up: .*order.created")
    assert len(receiver.received) == 1


@pytest.mark.slow
def test_a_receiver_that_is_down_costs_the_client_nothing():
    """A receiver that is down costs the client nothing; after five attempts the log has the event, and no exception leaves the task."""
    settings = {"WEBHOOK_URL": "http://127.0.0.1:9/"}
    with serve("examples.recipes.webhook:app", env=settings) as server:
        assert client.post(f"{server.url}/orders", json=ORDER).status_code == 201
        server.wait_for("stamina.retry_scheduled", nth=4)
        server.wait_for("tell: .* given up")
        server.stop()
        assert not any("Exception in ASGI" in line.text for line in server.lines)


@pytest.mark.slow
def test_a_delivery_that_waits_for_its_next_attempt_holds_up_no_other(
    server: Server, receiver: Receiver
):
    """Twelve events are refused and wait for another attempt: the thirteenth is delivered before any of them is given up."""
    receiver.refused = "coffee"
    for _ in range(12):
        client.post(f"{server.url}/orders", json={"item": "coffee", "count": 1})
    answer = client.post(f"{server.url}/orders", json=ORDER)
    server.wait_for(f"tell: {answer.json()['event']} delivered")
    assert "given up" not in server.transcript()


@pytest.mark.slow
def test_200_orders_are_delivered_once_each(server: Server, receiver: Receiver):
    """200 orders, 20 at a time: the receiver has each once."""
    answers = load(server.url, lambda client, _: client.post("/orders", json=ORDER))
    assert {answer.status_code for answer in answers} == {201}
    server.wait_for("tell: .* delivered", nth=REQUESTS, timeout=100)
    ids = Counter(event_id for event_id, _, _ in receiver.received)
    assert ids == Counter(answer.json()["event"] for answer in answers)
    assert len(ids) == REQUESTS
