"""A test with a real server: the response comes before the task has ended."""

import threading
import time
from collections.abc import Iterator

import httpx2
import pytest
import uvicorn

from main import Mailer, app


class WaitingMailer(Mailer):
    may_send, has_sent = threading.Event(), threading.Event()

    def send(self, to: str, text: str) -> None:
        assert self.may_send.wait(5)
        self.has_sent.set()


@pytest.fixture
def url() -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_the_response_comes_before_the_task_has_ended(url: str) -> None:
    app.dependency_overrides[Mailer] = WaitingMailer
    order = {"email": "ada@example.com", "item": "tea"}
    answer = httpx2.post(f"{url}/orders", json=order, timeout=2)
    assert answer.status_code == 202
    assert not WaitingMailer.has_sent.is_set()
    WaitingMailer.may_send.set()
    assert WaitingMailer.has_sent.wait(5)
    app.dependency_overrides.clear()
