"""Tests of the task without a server: was it added, what does it do, what if it fails."""

import asyncio
from collections.abc import Iterator

import pytest
from fastapi import BackgroundTasks
from fastapi.testclient import TestClient

import main
from main import Mailer, Order, app, create_order, send_receipt

ORDER = Order(email="ada@example.com", item="tea")


class Outbox(Mailer):
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def send(self, to: str, text: str) -> None:
        self.sent.append((to, text))


class BrokenMailer(Mailer):
    def send(self, to: str, text: str) -> None:
        raise ConnectionError("the mail server refused the connection")


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    outbox = Outbox()
    app.dependency_overrides[Mailer] = lambda: outbox
    yield outbox
    app.dependency_overrides.clear()


def test_the_endpoint_adds_the_task() -> None:
    tasks, mailer = BackgroundTasks(), Outbox()
    asyncio.run(create_order(ORDER, tasks, mailer))
    [task] = tasks.tasks
    assert task.func is send_receipt
    assert task.args == (mailer, ORDER)
    assert mailer.sent == []  # added, and not yet run
    asyncio.run(tasks())
    assert len(mailer.sent) == 1


def test_the_task_by_itself() -> None:
    mailer = Outbox()
    send_receipt(mailer, ORDER)
    assert mailer.sent == [("ada@example.com", "Your order: tea")]


def test_the_request_and_its_task(outbox: Outbox) -> None:
    answer = TestClient(app).post("/orders", json=ORDER.model_dump())
    assert answer.status_code == 202
    assert outbox.sent == [("ada@example.com", "Your order: tea")]


def test_the_request_without_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(main, "send_receipt", lambda *args: calls.append(args))
    TestClient(app).post("/orders", json=ORDER.model_dump())
    [(_, order)] = calls
    assert order == ORDER


def test_a_task_that_fails() -> None:
    app.dependency_overrides[Mailer] = BrokenMailer
    with pytest.raises(ConnectionError):
        TestClient(app).post("/orders", json=ORDER.model_dump())
    client = TestClient(app, raise_server_exceptions=False)
    assert client.post("/orders", json=ORDER.model_dump()).status_code == 202
    app.dependency_overrides.clear()
