"""A test of a stream that never ends: it reads the first events, and leaves."""

from fastapi.testclient import TestClient

from news import app, readers


def test_events_come_one_by_one_and_who_leaves_is_noticed() -> None:
    with TestClient(app).stream("GET", "/news") as answer:
        lines = (line for line in answer.iter_lines() if line.startswith("data:"))
        assert next(lines) == 'data: {"number":0}'
        assert next(lines) == 'data: {"number":1}'
        assert readers == ["ada"]
    assert readers == []
