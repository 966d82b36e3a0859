"""The statements of docs/in-ten-minutes.md."""

import re
import time
from pathlib import Path

import httpx
import pytest

from runner import Server, client, serve
from tests.copying import changed
from tests.orders import ask_until
from tests.services import settings_of

pytestmark = pytest.mark.slow

MEMORY = "examples.in_ten_minutes.in_memory:app"
TABLE = "examples.in_ten_minutes.jobs_table:app"


def plan(server: Server, order: int, seconds: float) -> httpx.Response:
    url = f"{server.url}/orders/{order}/reminder"
    return client.put(url, params={"seconds": seconds}, timeout=30)


def cancel(server: Server, order: int) -> int:
    return client.delete(f"{server.url}/orders/{order}/reminder").status_code


def started(*servers: Server) -> list[int]:
    """The orders whose reminders were started, in that order."""
    said = "\n".join(line.text for server in servers for line in server.lines)
    return [int(order) for order in re.findall(r"remind: order (\d+) started", said)]


def test_the_timer_runs_it_later_and_holds_up_nothing():
    """The client is answered at once, and the reminder begins when its time has passed."""
    with serve(MEMORY) as server:
        asked = time.monotonic()
        assert plan(server, 7, 1.5).status_code == 202
        answered = time.monotonic()
        line = server.wait_for("remind: order 7 started")
        server.wait_for("remind: order 7 done")
    assert line.time - asked >= 1.5
    assert answered < line.time


def test_a_timer_can_be_cancelled_and_moved():
    """Of three reminders one is cancelled and never begins, and one is moved and begins once, at its new time. What does not wait any more is a `404`."""
    with serve(MEMORY) as server:
        for order, seconds in ((1, 60), (2, 60), (3, 1)):
            plan(server, order, seconds)
        assert cancel(server, 1) == 204
        asked = time.monotonic()
        plan(server, 2, 3)
        line = server.wait_for("remind: order 2 done")
        assert started(server) == [3, 2]
        assert "Traceback" not in server.transcript()
        assert line.time - asked >= 3
        assert [cancel(server, order) for order in (1, 2)] == [404, 404]


def test_a_stop_does_not_wait_for_the_timer_and_forgets_it():
    """After `SIGTERM` the server ends at once, with a reminder ten minutes away. When it is back nobody knows of it."""
    with serve(MEMORY) as first:
        plan(first, 7, 600)
        first.stop()
    with serve(MEMORY) as second:
        assert cancel(second, 7) == 404


def test_another_worker_does_not_know_the_timer():
    """With `--workers 2` the timer is in one of them; asked to cancel it, the other answers `404`."""
    with serve(MEMORY, "--workers", "2") as server:

        def planned_and_cancelled() -> list[int]:
            plan(server, 7, 600)
            return [cancel(server, 7) for _ in range(10)]

        answers = ask_until(planned_and_cancelled, lambda a: a[0] == 404, 60)
    assert set(answers) <= {204, 404}


@pytest.fixture
def table(tmp_path: Path) -> dict[str, str]:
    """The settings of the app with the table: an empty file, and a short lease."""
    return settings_of(TABLE, tmp_path) | {"LEASE": "2"}


def test_a_reminder_in_the_table_survives_a_kill(table: dict[str, str]):
    """The server is killed with `SIGKILL`. The next one runs what waits, each once and not before its time, also what was due when no server ran."""
    with serve(TABLE, env=table) as first:
        asked = time.monotonic()
        plan(first, 1, 0.5)
        plan(first, 2, 6)
        first.kill()
    with serve(TABLE, env=table) as second:
        line = second.wait_for("remind: order 2 done")
        assert line.time - asked >= 6
        assert started(first, second) in ([1, 2], [1, 1, 2])  # killed in the middle


def test_any_worker_can_cancel_what_waits_in_the_table(table: dict[str, str]):
    """With `--workers 2` ten reminders are cancelled by any of them: `204` each time, and a second time `409`. None of them begins; another ten are sent once each."""
    with serve(TABLE, "--workers", "2", env=table) as server:
        for order in range(1, 21):
            plan(server, order, 3)
        assert [cancel(server, order) for order in range(1, 11)] == [204] * 10
        assert [cancel(server, order) for order in range(1, 11)] == [409] * 10
        server.wait_for(r"remind: order \d+ done", nth=10)
        plan(server, 21, 0)
        server.wait_for("remind: order 21 done")
        assert sorted(started(server)) == list(range(11, 22))


def test_what_is_being_sent_cannot_be_cancelled_or_moved(table: dict[str, str]):
    """Cancelled at the moment when it is due, a reminder is either cancelled, and never begins, or it begins, and the answer is `409`. The same holds when it is moved to a new time."""
    with serve(TABLE, env=table) as server:
        said = {}
        for order in range(1, 11):
            due = time.time() + 0.2
            plan(server, order, 0.2)
            time.sleep(max(0, due - time.time()) + order * 0.01)
            said[order] = cancel(server, order)
        plan(server, 11, 0)
        server.wait_for("remind: order 11 done")
        begun = set(started(server)) - {11}
        assert begun == {order for order, answer in said.items() if answer == 409}
        answers = iter(lambda: planned_while_sent(server), 409)
        assert set(answers) <= {202}


def planned_while_sent(server: Server) -> int:
    """The answer to one who plans a reminder anew when it has begun."""
    begun = len(started(server))
    plan(server, 12, 0)
    ask_until(lambda: len(started(server)), lambda now: now > begun, 30)
    return plan(server, 12, 600).status_code


def test_what_a_killed_server_was_sending_is_sent_again(
    table: dict[str, str], tmp_path: Path
):
    """The server is killed while it sends a reminder: the next one sends it again when the lease is over, here four seconds."""
    table |= {"LEASE": "4"}
    slow = changed(table, tmp_path, TABLE, {"sleep(0.5)": "sleep(60)"})
    with serve("changed:app", env=slow) as first:
        plan(first, 7, 0)
        begun = first.wait_for("remind: order 7 started")
        first.kill()
    with serve(TABLE, env=table) as second:
        again = second.wait_for("remind: order 7 started")
        second.wait_for("remind: order 7 done")
    assert again.time - begun.time > 3


def test_planned_again_and_again_it_runs_once_at_the_last_time(table: dict[str, str]):
    """Planned for a minute later, then for ten, then for three seconds later, the reminder begins once, three seconds after that."""
    with serve(TABLE, env=table) as server:
        for seconds in (60, 600, 3):
            asked = time.monotonic()
            plan(server, 7, seconds)
        line = server.wait_for("remind: order 7 started")
        plan(server, 8, 0)
        server.wait_for("remind: order 8 done")
        assert started(server) == [7, 8]
    assert line.time - asked >= 3
