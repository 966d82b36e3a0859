"""TestClient with and without `with`: the lifespan, and what create_task has started."""

import pytest
from fastapi.testclient import TestClient

from prices import app, ended


@pytest.fixture(autouse=True)
def forget() -> None:
    app.state._state.clear()
    ended.clear()


def test_without_with_there_is_no_lifespan() -> None:
    with pytest.raises(AttributeError, match="prices"):
        TestClient(app).get("/prices")


def test_with_it_there_is_one() -> None:
    with TestClient(app) as client:
        assert client.get("/prices").json() == {"tea": 4}


def test_without_with_create_task_is_cancelled() -> None:
    TestClient(app).post("/prices")
    assert ended == ["cancelled"]


def test_with_it_the_lifespan_may_wait() -> None:
    with TestClient(app) as client:
        client.post("/prices")
    assert ended == ["done"]
