"""Tests without a worker and without Redis: call the task, and keep what would be sent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

import orders
from orders import Base, Order, app, queue, send_receipt


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    Base.metadata.create_all(engine)
    monkeypatch.setattr(orders, "engine", engine)
    yield
    engine.dispose()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sent: list[Any] = []
    monkeypatch.setattr(
        send_receipt, "apply_async", lambda args, **_: sent.append(args)
    )
    return sent


def test_the_task_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with Session(orders.engine) as session, session.begin():
        session.add(Order(item="tea", job="1"))
    send_receipt(1)
    assert capsys.readouterr().out.endswith("tea done\n")


def test_the_request_without_its_task(sent: list[Any]) -> None:
    assert TestClient(app).post("/orders/tea").json() == {"order": 1}
    assert sent == [[1]]


def test_eager_swallows_what_the_task_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(queue.conf, "task_always_eager", True)
    assert send_receipt.delay(7).status == "FAILURE"
    monkeypatch.setitem(queue.conf, "task_eager_propagates", True)
    with pytest.raises(Exception, match="No row was found"):
        send_receipt.delay(7)
