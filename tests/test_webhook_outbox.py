"""The statements of docs/recipes/webhook-outbox.md."""

import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, NamedTuple

import pytest

from examples.recipes.webhook_outbox import CLAIM, SETTLE, TABLES
from runner import Server, client, serve
from runner.process import ROOT
from tests.copying import changed
from tests.listening import Silent, listening
from tests.load import REQUESTS, load
from tests.orders import ask_until

TARGET = "examples.recipes.webhook_outbox:app"
Start = Callable[..., AbstractContextManager[Server]]


class Call(NamedTuple):
    """What a receiver got, and when."""

    path: str
    event: str
    type: str
    body: dict[str, Any]
    time: float


class Receivers(ThreadingHTTPServer):
    """Several receivers, told apart by their paths; they answer as told, and else `204`."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.calls: list[Call] = []
        self.answers: dict[str, list[tuple[int, str]]] = {}
        """By path: status, and a further header, for each of the next calls."""
        self.refused = ""
        """The item that gets `503`."""
        self.at_once: Counter[str] = Counter()
        self.most_at_once = 0
        self.go_on = threading.Event()
        """Until then `/hangs` does not answer."""

    def url(self, *paths: str) -> str:
        return " ".join(f"http://127.0.0.1:{self.server_port}{path}" for path in paths)

    def at(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def wait_for(self, path: str, calls: int = 1) -> list[Call]:
        """The calls that came to that path, when there are as many."""
        return ask_until(partial(self.at, path), lambda got: len(got) >= calls, 60)


class Receive(Silent):
    server: Receivers

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.at_once[self.path] += 1
        most = max(self.server.most_at_once, self.server.at_once[self.path])
        self.server.most_at_once = most
        event, kind = self.headers["webhook-id"], self.headers["content-type"]
        call = Call(self.path, event, kind, body, time.monotonic())
        self.server.calls.append(call)
        with suppress(OSError):  # the sender has gone
            self.answer(body)
        self.server.at_once[self.path] -= 1

    def answer(self, body: dict[str, Any]) -> None:
        answers = self.server.answers.get(self.path)
        status, header = answers.pop(0) if answers else (204, "")
        if body["item"] == self.server.refused:
            status = 503
        if self.path.startswith("/hangs"):
            self.server.go_on.wait(60)
        if self.path == "/trickles":
            for byte in b"HTTP/1.1 204 No Content":
                self.wfile.write(bytes([byte]))
                self.server.go_on.wait(0.3)
        if self.path == "/endless":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                self.wfile.write(b"tea" * 1000)
        self.send_response(status)
        if header:
            self.send_header(*header.split(": "))
        self.end_headers()


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with listening(Receivers()) as receivers:
        yield receivers
        receivers.go_on.set()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def start(receivers: Receivers, database: Path) -> Start:
    """Starts the app with these receivers, and short waits."""

    def start(
        *paths: str, waits: str = "0 0.1 0.1", timeout: float = 15, options: Any = ()
    ) -> AbstractContextManager[Server]:
        settings = {
            "DATABASE": str(database),
            "RECEIVERS": receivers.url(*paths),
            "WAITS": waits,
            "TIMEOUT": str(timeout),
        }
        return serve(TARGET, *options, env=settings)

    return start


def order(server: Server, item: str = "tea") -> str:
    """Place an order; the id of its event."""
    answer = client.post(f"{server.url}/orders/{item}")
    assert answer.status_code == 201
    return str(answer.json()["event"])


def rows(database: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(database)) as db:
        return db.execute(query).fetchall()


def until(database: Path, query: str, wanted: Any) -> None:
    """Wait until the query's only value is as wanted."""
    ask_until(lambda: rows(database, query), lambda got: got == [(wanted,)], 60)


def test_each_receiver_has_the_event(start: Start, receivers: Receivers):
    """Each receiver has the event, with the id that the client was told."""
    with start("/a", "/b") as server:
        event = order(server)
        server.wait_for(f"{event}: delivered", nth=2)
    body = {"type": "order.created", "item": "tea"}
    assert {call[:2] for call in receivers.calls} == {("/a", event), ("/b", event)}
    assert [call.body for call in receivers.calls] == [body, body]
    assert {call.type for call in receivers.calls} == {"application/json"}


def test_order_and_event_are_there_together_or_neither(
    start: Start, receivers: Receivers, database: Path
):
    """Where no event can be written there is no order either: the client gets a `500`, and orders again."""
    with start("/a") as server, closing(sqlite3.connect(database)) as db:
        db.execute("alter table events rename to away")
        server.expect("no such table: events")
        answer = client.post(f"{server.url}/orders/tea")
        orders = rows(database, "select count(*) from orders")
        db.execute("alter table away rename to events")
        event = order(server)
        server.wait_for(f"{event}: delivered")
    assert answer.status_code == 500
    assert orders == [(0,)]
    assert [call.event for call in receivers.calls] == [event]


@pytest.mark.slow
def test_a_kill_loses_no_event(start: Start, receivers: Receivers):
    """60 orders, a `SIGKILL` in the middle, a new process: each event arrives, and at most one of them twice, with the same id."""
    with start("/a", timeout=1) as server:
        events = [order(server) for _ in range(60)]
        server.stop(SIGKILL)
    with start("/a", timeout=1) as server:
        ask_until(
            lambda: {call.event for call in receivers.calls},
            lambda arrived: arrived == {*events},
            60,
        )
        server.stop()
    assert len(receivers.calls) <= 61


@pytest.mark.slow
def test_an_attempt_that_died_is_made_again_when_its_lease_is_over(
    start: Start, receivers: Receivers
):
    """A process that dies in the middle of an attempt holds its claim, the lease, for twice the `TIMEOUT`: then the next process sends the event again, and not before."""
    with start("/hangs", timeout=2) as server:
        event = order(server)
        receivers.wait_for("/hangs")
        server.stop(SIGKILL)
    receivers.go_on.set()
    with start("/hangs", timeout=2) as server:
        server.wait_for(f"{event}: delivered")
    first, second = receivers.calls
    assert first.event == second.event == event
    assert second.time - first.time > 3


@pytest.mark.slow
def test_the_waits_grow_until_it_is_given_up(
    start: Start, receivers: Receivers, database: Path
):
    """A failed event is tried again after each of the waits, and given up after the last: its row says how often it was tried, and what was wrong."""
    receivers.refused = "tea"
    with start("/a", waits="0 0.3 1 2.2") as server:
        order(server)
        calls = receivers.wait_for("/a", 4)
        until(database, "select due > 9e9 from events", 1)
    assert len(receivers.calls) == 4
    gaps = [after.time - before.time for before, after in pairwise(calls)]
    assert all(gap > wait for gap, wait in zip(gaps, [0.3, 1, 2.2], strict=True))
    assert len({call.event for call in calls}) == 1
    [(attempts, error)] = rows(database, "select attempts, error from events")
    assert attempts == 4
    assert "503 Service Unavailable" in error


def in_five_seconds() -> str:
    then = datetime.now(UTC) + timedelta(seconds=5)
    return format_datetime(then, usegmt=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "when"),
    [(429, lambda: "4"), (503, in_five_seconds)],
    ids=["429, seconds", "503, a date"],
)
def test_a_receiver_that_asks_for_time_gets_it(
    start: Start, receivers: Receivers, status: int, when: Callable[[], str]
):
    """A `429` or `503` with `Retry-After`, in seconds or as a date: that receiver gets neither this event nor any other before then. The other receivers have theirs meanwhile."""
    with start("/busy", "/a") as server:
        begun = time.monotonic()
        receivers.answers["/busy"] = [(status, f"Retry-After: {when()}")]
        order(server)
        receivers.wait_for("/busy")
        order(server)
        receivers.wait_for("/a", 2)
        meanwhile = len(receivers.at("/busy"))
        again = receivers.wait_for("/busy", 3)[1]
    assert meanwhile == 1
    assert again.time - begun > 3.9


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("9" * 400, 86_400),
        ("Sun, 06 Nov 2994 08:49:37 GMT", 86_400),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 600),
        ("soon", 600),
        ("nan", 600),
        ("-5", 600),
    ],
    ids=["for ever", "in 900 years", "the past", "no time", "no number", "negative"],
)
def test_no_receiver_can_ask_for_more_than_a_day(
    start: Start, receivers: Receivers, database: Path, asked: str, wait: float
):
    """More than a day is a day; what is no time, or past, changes nothing."""
    receivers.answers["/a"] = [(503, f"Retry-After: {asked}")]
    with start("/a", waits="0 600") as server:
        now = time.time()
        order(server)
        until(database, "select failures from receivers", 1)
        [(free,)] = rows(database, "select free from receivers")
    assert free - now == pytest.approx(wait, abs=60)


@pytest.mark.slow
def test_a_receiver_that_hangs_holds_up_no_other(start: Start, receivers: Receivers):
    """One receiver takes each call and never answers. Twenty orders later it has one event, and another receiver has all."""
    with start("/hangs", "/a") as server:
        for _ in range(20):
            order(server)
        receivers.wait_for("/a", 20)
        assert len(receivers.at("/hangs")) == 1
        receivers.go_on.set()


def test_what_waits_is_sent_in_the_order_it_came(start: Start, receivers: Receivers):
    """What has waited for a receiver is sent in the order in which it came. What is tried again is overtaken."""
    with start("/hangs") as server:
        events = [order(server) for _ in range(10)]
        receivers.go_on.set()
        receivers.wait_for("/hangs", 10)
    assert [call.event for call in receivers.calls] == events
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"{TABLES}; drop index waiting")
        for number, due in enumerate((2, 1)):
            db.execute("insert into receivers (url) values (?)", [number])
            add = "insert into events (id, receiver, due) values (?, ?, ?)"
            db.execute(add, [f"due {due}", number, due])
        claimed = [db.execute(CLAIM, {"now": 3, "lease": 9}).fetchone() for _ in "12"]
    assert [event[0] for event in claimed] == ["due 1", "due 2"]


@pytest.mark.slow
def test_more_than_a_hundred_that_hang_hold_up_no_other(
    start: Start, receivers: Receivers
):
    """120 receivers that hang hold up no other either: an httpx client has a hundred connections by default, and here any number."""
    hanging = [f"/hangs?{number}" for number in range(120)]
    with start(*hanging, "/zzz") as server:
        order(server)
        receivers.wait_for("/zzz")
        receivers.go_on.set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "said"), [("/trickles", "TimeoutError"), ("/endless", "delivered")]
)
def test_an_attempt_ends_in_time(
    start: Start, receivers: Receivers, path: str, said: str
):
    """A receiver that sends its answer byte by byte gets no more time than one that sends nothing; of a body without end, nothing is read."""
    with start(path, timeout=1) as server:
        order(server)
        server.wait_for(said)


def test_a_redirect_is_not_followed(start: Start, receivers: Receivers, database: Path):
    """A redirect is a failure, and nothing is sent to where it points."""
    elsewhere = receivers.url("/elsewhere")
    receivers.answers["/a"] = [(307, f"Location: {elsewhere}")]
    with start("/a") as server:
        event = order(server)
        server.wait_for(f"{event}: .*307")
        server.wait_for(f"{event}: delivered")
    assert [call.path for call in receivers.calls] == ["/a", "/a"]


@pytest.mark.slow
def test_after_so_many_failures_in_a_row_a_receiver_is_switched_off(
    start: Start, receivers: Receivers, database: Path
):
    """A receiver that has failed as often in a row as there are waits, with whichever events, is switched off: no event goes there any more, and the other receiver has all. Three events were tried, once each, in place of one three times."""
    receivers.answers["/hangs"] = [(500, "")] * 9
    with start("/hangs", "/a") as server:
        for _ in range(5):
            order(server)
        receivers.go_on.set()  # all five are there when the first fails
        until(database, "select max(free) > 9e9 from receivers", 1)
        order(server)
        receivers.wait_for("/a", 6)
        server.stop()
    assert len(receivers.at("/hangs")) == 3
    query = "select max(attempts) from events where receiver like '%/hangs'"
    assert rows(database, query) == [(1,)]


@pytest.mark.slow
def test_replayed_by_hand_it_has_all(
    start: Start, receivers: Receivers, database: Path
):
    """Switched on again with one command, it gets every event that it missed, also those that came meanwhile or were given up, each once. It may fail again as often as before; the others are left alone."""
    receivers.answers["/down"] = [(500, "")] * 3
    receivers.answers["/gone"] = [(410, "")]
    with start("/down", "/gone", "/a") as server:
        events = [order(server)]
        until(database, "select count(*) from receivers where free > 9e9", 2)
        events += [order(server) for _ in range(3)]
        receivers.wait_for("/a", 4)
        before = len(receivers.at("/down"))
        receivers.answers["/down"] = [(500, "")]
        file = ROOT / "examples/recipes/webhook_outbox.py"
        subprocess.run(
            [sys.executable, file, receivers.url("/down")],
            env={"DATABASE": str(database)},
            check=True,
        )
        receivers.wait_for("/down", 8)
        server.stop()
    assert before == 3
    delivered = [call.event for call in receivers.at("/down")[4:]]
    assert Counter(delivered) == Counter(events)
    assert len(receivers.at("/a")) == 4
    query = "select sum(attempts) from events where receiver like '%/gone'"
    assert rows(database, query) == [(1,)]


def test_a_receiver_that_is_gone_is_switched_off_at_once(
    start: Start, receivers: Receivers, database: Path
):
    """`410 Gone` switches it off at once."""
    receivers.answers["/a"] = [(410, "")]
    with start("/a") as server:
        order(server)
        until(database, "select free > 9e9 from receivers", 1)
    assert len(receivers.calls) == 1


@pytest.mark.slow
def test_an_event_that_alone_is_refused_holds_up_no_other(
    start: Start, receivers: Receivers, database: Path
):
    """One event is refused whenever it comes. It is tried after waits of its own, and given up in the end; the events after it are delivered, and their receiver stays on."""
    receivers.refused = "coffee"
    with start("/a", waits="0 0.1 1.5") as server:
        order(server, "coffee")
        for number in range(1, 4):
            receivers.wait_for("/a", 2 * number - 1)
            order(server)
            until(database, "select count(*) from events where done", number)
        until(database, "select due > 9e9 from events where not done", 1)
        order(server)
        until(database, "select count(*) from events where done", 4)
    refused = [call.time for call in receivers.calls if call.body["item"] == "coffee"]
    assert len(refused) == 3
    assert refused[1] - refused[0] > 0.1
    assert refused[2] - refused[1] > 1.5


@pytest.mark.slow
def test_two_workers_deliver_each_event_once(start: Start, receivers: Receivers):
    """Two workers: 40 events, each delivered once, and to each receiver one at a time."""
    with start("/a", "/b", options=["--workers", "2"]) as server:
        events = [order(server) for _ in range(40)]
        server.wait_for(": delivered", nth=80)
        server.stop()
    for path in ("/a", "/b"):
        assert Counter(call.event for call in receivers.at(path)) == Counter(events)
    assert receivers.most_at_once == 1


@pytest.mark.slow
def test_the_next_goes_out_when_one_has_arrived(
    start: Start, receivers: Receivers, database: Path, tmp_path: Path
):
    """A receiver's next event goes out as soon as the one before has arrived: nine that wait are delivered, although the loop of this copy looks by itself every ten minutes only."""
    with start("/hangs") as server:
        events = [order(server) for _ in range(10)]
        receivers.wait_for("/hangs")
        server.process.send_signal(SIGTERM)
        server.wait_for("Waiting for application shutdown")
        receivers.go_on.set()
        server.wait()
    seldom = {"0 if claimed else 0.2": "0 if claimed else 600"}
    env = {"DATABASE": str(database), "PYTHONPATH": str(ROOT)}
    env |= {"RECEIVERS": receivers.url("/hangs")}
    with serve("changed:app", env=changed(env, tmp_path, TARGET, seldom)) as server:
        server.wait_for(": delivered", nth=9)
    assert [call.event for call in receivers.calls] == events


@pytest.mark.slow
def test_a_clean_stop_waits_for_what_is_under_way(start: Start, receivers: Receivers):
    """`SIGTERM` lets the attempt that is under way come to its end; the next process sends what waits, and this one not again."""
    with start("/hangs") as server:
        events = [order(server)]
        receivers.wait_for("/hangs")
        events += [order(server)]
        server.process.send_signal(SIGTERM)
        server.wait_for("Waiting for application shutdown")
        receivers.go_on.set()
        server.wait_for(f"{events[0]}: delivered")
        assert server.wait() in (0, -15)
    with start("/hangs") as server:
        server.wait_for(f"{events[1]}: delivered")
    assert [call.event for call in receivers.calls] == events


@pytest.mark.slow
def test_a_database_that_fails_ends_no_loop(
    start: Start, receivers: Receivers, database: Path
):
    """The table is away for a moment: the log says so each second, and the loop goes on when it is back. An event whose delivery could not be written down is sent again when its lease is over."""
    with (
        start("/hangs", timeout=1) as server,
        closing(sqlite3.connect(database)) as db,
    ):
        server.expect("no such table: events")
        event = order(server)
        receivers.wait_for("/hangs")
        db.execute("alter table events rename to away")
        receivers.go_on.set()
        server.wait_for("the outbox tries again in a second", nth=2)
        server.wait_for(f"{event} is sent again when its lease is over")
        db.execute("alter table away rename to events")
        server.wait_for(f"{event}: delivered")
    assert len(receivers.calls) > 1
    assert {call.event for call in receivers.calls} == {event}


def test_the_loop_reads_no_delivered_rows(start: Start, database: Path):
    """The loop looks five times a second. It finds what waits by an index that has no delivered rows, and what it has sent by its key."""
    with start("/a"), closing(sqlite3.connect(database)) as db:
        claim = steps(db, CLAIM, {"now": 0, "lease": 0})
        names = ("id", "receiver", "error", "due")
        settle = steps(db, SETTLE, dict.fromkeys(names, ""))
    assert sum("USING INDEX waiting" in step for step in claim) == 2, claim
    assert len(claim) == 3, claim
    assert [step.partition(" (")[2] for step in settle] == ["id=? AND receiver=?)"]


def steps(db: sqlite3.Connection, statement: str, values: dict[str, Any]) -> list[str]:
    """How the statement finds its events."""
    plan = db.execute(f"explain query plan {statement}", values).fetchall()
    return [step for *_, step in plan if "events" in step]


@pytest.mark.slow
def test_200_orders_are_delivered_once_each(start: Start, receivers: Receivers):
    """200 orders, 20 at a time: the receiver has each once."""
    with start("/a") as server:
        answers = load(server.url, lambda client, _: client.post("/orders/tea"))
        assert {answer.status_code for answer in answers} == {201}
        server.wait_for(": delivered", nth=REQUESTS, timeout=100)
    events = Counter(call.event for call in receivers.calls)
    assert events == Counter(answer.json()["event"] for answer in answers)
