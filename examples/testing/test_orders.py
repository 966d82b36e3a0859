"""The task gets its sessions by injection, so that the test's database is the task's too."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, StaticPool, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from orders import app, new_sessions


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    with engine.begin() as connection:
        connection.execute(text("create table receipts (order_id)"))
    sessions = sessionmaker[Session](engine)
    app.dependency_overrides[new_sessions] = lambda: sessions
    yield engine
    app.dependency_overrides.clear()
    engine.dispose()


def test_the_receipt_is_noted(engine: Engine) -> None:
    assert TestClient(app).post("/orders/7").status_code == 202
    with engine.connect() as connection:
        assert connection.scalar(text("select order_id from receipts")) == 7
