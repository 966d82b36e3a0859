"""The statements of docs/recipes/receive-webhooks.md."""

import base64
import hashlib
import hmac
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from runner import Server, client, serve
from runner.process import PYTHON, free_port, start
from tests.copying import changed
from tests.orders import ask_until

TARGET = "examples.recipes.receive_webhooks:app"
KEY = b"a secret of the tests"
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
BODY = b'{"type": "order.paid",  "item": "tea"}'


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"DATABASE": str(tmp_path / "events.db"), "WEBHOOK_SECRET": SECRET}


@pytest.fixture
def server(settings: dict[str, str]) -> Iterator[Server]:
    with serve(TARGET, env=settings) as server:
        yield server


def send(
    server: Server, event_id: str, *, body: bytes = BODY, age: int = 0, **changed: str
) -> httpx.Response:
    """Sign an event and send it; `changed` are headers that are not as they were signed."""
    sent_at = str(int(time.time()) - age)
    signed = f"{event_id}.{sent_at}.".encode() + BODY
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    headers = {
        "Webhook-Id": event_id,
        "Webhook-Timestamp": sent_at,
        "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    headers |= {f"Webhook-{name.title()}": value for name, value in changed.items()}
    encoded = {name: value.encode() for name, value in headers.items()}
    return client.post(f"{server.url}/webhooks", content=body, headers=encoded)


def rows(settings: dict[str, str], table: str) -> int:
    with closing(sqlite3.connect(settings["DATABASE"])) as connection:
        [(number,)] = connection.execute(f"select count(*) from {table}").fetchall()
        return int(number)


def test_an_event_is_handled_after_the_answer(server: Server, settings: dict[str, str]):
    """A signed event gets `200`, and is handled."""
    answer = send(server, "event-1")
    server.wait_for("work: event-1 done")
    assert answer.status_code == 200
    assert answer.json() == {"new": True}
    assert rows(settings, "orders") == 1


def test_one_of_several_signatures_is_enough(server: Server, settings: dict[str, str]):
    """While a sender replaces its secret it signs with both: the header holds two signatures, and one that is right is enough."""
    sent_at = str(int(time.time()))
    signed = f"event-1.{sent_at}.".encode() + BODY
    digest = hmac.digest(KEY, signed, hashlib.sha256)
    both = f"v1,bm90aGluZw== v1,{base64.b64encode(digest).decode()}"
    assert send(server, "event-1", signature=both, timestamp=sent_at).is_success
    server.wait_for("work: event-1 done")


def test_an_event_that_comes_twice_is_handled_once(
    server: Server, settings: dict[str, str]
):
    """The same event ten times, at once: each gets `200`, one is new, and it is handled once."""
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: send(server, "event-1"), range(10)))
    server.stop()
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["new"] for answer in answers) == 1
    assert rows(settings, "orders") == 1


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"body": BODY.replace(b"  ", b" ")}, 401),
        ({"signature": "v1,bm90aGluZw=="}, 401),
        ({"signature": "v1,ü"}, 401),
        ({"id": "event-2"}, 401),
        ({"age": 301}, 401),
        ({"timestamp": "now"}, 422),
    ],
    ids=["other bytes", "another", "no ASCII", "another id", "too old", "no time"],
)
def test_what_is_not_signed_so_is_refused(
    server: Server, settings: dict[str, str], how: dict[str, Any], status: int
):
    """Other bytes, also the same JSON with one space less, another id, another signature and one that is older than five minutes get `401`, and nothing is kept."""
    assert send(server, "event-1", **how).status_code == status
    assert rows(settings, "events") == 0


def test_what_was_kept_and_not_answered_is_handled_once(settings: dict[str, str]):
    """The server is killed when it has kept the event and not yet answered: the next one handles it when it starts. Sent again, it is not new, and is not handled again."""
    with serve(TARGET, env=settings) as server, ThreadPoolExecutor(1) as thread:
        server.press_ctrl_s()  # the line in the access log comes before the answer
        asked = thread.submit(send, server, "event-1")
        ask_until(partial(rows, settings, "events"), lambda number: number == 1, 30)
        server.kill()
        with pytest.raises(httpx.RemoteProtocolError):
            asked.result()
    with serve(TARGET, env=settings) as server:
        server.wait_for("work: event-1 done")
        assert send(server, "event-1").json() == {"new": False}
        server.stop()
    assert rows(settings, "orders") == 1


def test_an_event_that_raises_is_tried_again_at_the_next_start(
    settings: dict[str, str], tmp_path: Path
):
    """An event whose handling raises has its `200`, and a line in the log. It is tried again when the sender repeats it, and at the next start; a failure there does not stop the start."""
    raises = {
        "if taken:\n            connection": "1 / 0\n        if taken:\n            connection"
    }
    env = changed(settings, tmp_path, TARGET, raises)
    with serve("changed:app", env=env) as server:
        server.expect("ZeroDivisionError")
        for _ in range(2):
            assert send(server, "event-1").status_code == 200
        server.wait_for("event-1 is tried again", nth=2)
    with serve("changed:app", env=env) as server:
        server.expect("ZeroDivisionError")
        assert send(server, "event-2").status_code == 200
    with serve(TARGET, env=settings) as server:
        for event in (1, 2):
            server.wait_for(f"work: event-{event} done")
    assert rows(settings, "orders") == 2


def test_what_was_answered_survives_a_kill(settings: dict[str, str]):
    """The server is killed between answer and work: the next one handles the event when it starts."""
    with serve(TARGET, env=settings) as server:
        send(server, "event-1")
        server.wait_for("work: event-1 done")
        server.kill()
    with closing(sqlite3.connect(settings["DATABASE"])) as connection:
        connection.execute("update events set done = 0")
        connection.execute("delete from orders")
        connection.commit()
    with serve(TARGET, env=settings) as server:
        server.wait_for("work: event-1 done")
    assert rows(settings, "orders") == 1


@pytest.mark.slow
def test_without_a_secret_it_does_not_start():
    """Without `WEBHOOK_SECRET` the server does not start: with an empty one, anybody could sign."""
    command = (*PYTHON, "uvicorn", TARGET, "--port", str(free_port()))
    with start(command, ready="Waiting for application") as server:
        server.wait_for("set WEBHOOK_SECRET")
        assert server.wait() != 0
