"""The statements of docs/listen-and-notify.md."""

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from psycopg.errors import UniqueViolation
from psycopg_pool import AsyncConnectionPool

from examples.jobs_table_in_production import claims, growing
from examples.listen_and_notify import mails
from runner import Server, client, serve
from runner.process import free_port
from runner.proxy import proxy
from tests.copying import changed
from tests.orders import ask_until
from tests.postgresql import Connection, at_port, connect, waits_for_a_lock
from tests.services import (
    in_a_thread,
    new_database,
    postgresql_url,
    running,
    settings_of,
)

pytestmark = pytest.mark.slow

MAILS = "examples.listen_and_notify.mails:app"
POLLING = "examples.jobs_table_in_production.claims:app"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Those of the app that listens. It polls once an hour."""
    return settings_of(MAILS, tmp_path) | {"POLL": "3600"}


def mail(server: Server, order: int, seconds: float = 0) -> None:
    url = f"{server.url}/orders/{order}/mail"
    answer = client.post(url, params={"seconds": seconds})
    assert answer.json() == {"queued": True}


def place(server: Server, order: int) -> None:
    """As a client does it that asks again after a 503: PostgreSQL has just come back."""
    url = f"{server.url}/orders/{order}/mail"
    ask_until(lambda: client.post(url).status_code, lambda code: code == 202, 60)


def test_who_listens_asks_nothing_while_there_is_nothing_to_do(
    tmp_path: Path, settings: dict[str, str]
):
    """Nobody places a job. In the time in which two workers that ask ten times a second make 200 transactions, one that listens makes less than 20, and those when it starts."""
    polling = settings_of(POLLING, tmp_path)
    polls, listens = (one["DATABASE"].rpartition("/")[2] for one in (polling, settings))

    def asked() -> dict[str, int]:
        with connect(postgresql_url("postgres")) as connection:
            rows = connection.execute(
                "select datname, xact_commit from pg_stat_database"
            )
            return dict(rows.fetchall())

    with serve(MAILS, env=settings) as server, serve(POLLING, env=polling):
        began = server.wait_for("listen: ready").time
        with connect(settings["DATABASE"]) as database:
            database.execute("insert into mails values (1, 'yesterday', 'sent')")
            database.execute("notify mails")
        made = ask_until(asked, lambda now: now[polls] >= 200, 60)
        assert time.monotonic() - began > 5
    assert made[listens] < 20


def test_a_notification_wakes_the_worker_at_once(settings: dict[str, str]):
    """The worker polls once an hour. It runs what is placed when it is placed, one job after another."""
    with serve(MAILS, env=settings) as server:
        server.wait_for("listen: ready")
        for order in (1, 2, 3):
            mail(server, order)
        server.wait_for("order 3 done")
        mail(server, 4)
        server.wait_for("order 4 done")
        again = client.post(f"{server.url}/orders/4/mail")
        assert again.json() == {"queued": False}


def test_every_worker_wakes_and_one_gets_the_job(settings: dict[str, str]):
    """With `--workers 2` each notification reaches both. Twenty mails are sent once each, two at a time."""
    with serve(MAILS, "--workers", "2", env=settings) as server:
        server.wait_for("listen: ready", nth=2)
        for order in range(1, 21):
            mail(server, order)
        server.wait_for(r"order \d+ done", nth=20)
        said = "\n".join(line.text for line in server.lines)
    begun = re.findall(r"order (\d+) (?=started)", said)
    assert sorted(map(int, begun)) == list(range(1, 21))
    both = r"order \d+ started\n(INFO.*\n)*send_mail: order \d+ started"
    assert re.search(both, said)


def test_what_is_due_later_is_run_when_it_is_due(settings: dict[str, str]):
    """A mail that is due in two seconds: nothing notifies then. The worker has looked when the next one is due, and sleeps until then."""
    with serve(MAILS, env=settings) as server:
        server.wait_for("listen: ready")
        asked = time.monotonic()
        mail(server, 1, 2)
        line = server.wait_for("order 1 started")
        server.wait_for("order 1 done")
        assert line.time - asked >= 2
        with connect(settings["DATABASE"]) as database:
            database.execute("update mails set due = now()")  # of what has been sent
        mail(server, 2)
        server.wait_for("order 2 done")
        assert server.transcript().count("order 1 started") == 1


@pytest.fixture
def listener() -> Iterator[Connection]:
    """Somebody who listens, in a database with the table of `mails`."""
    with connect(postgresql_url(new_database())) as connection:
        connection.execute(mails.CREATE)
        connection.execute("listen mails")
        yield connection


def heard(listener: Connection) -> list[str]:
    """The payloads of all that was told until now, and of a last notification."""
    with connect(listener.info.dsn) as other:
        other.execute("notify mails, 'last'")
    told: list[str] = []
    for one in listener.notifies(timeout=30):
        told.append(one.payload)
        if one.payload == "last":
            break
    return told


def test_a_notification_is_sent_with_the_commit_and_never_after_a_rollback(
    listener: Connection,
):
    """A job is placed, and its transaction is still open: nobody is told. The commit tells who listens; a rollback does not."""
    with connect(listener.info.dsn, autocommit=False) as app:
        app.execute(mails.PLACE, [1, 0])
        assert heard(listener) == ["last"]
        app.commit()
        assert heard(listener) == ["", "last"]
        app.execute(mails.PLACE, [2, 0])
        app.rollback()
        assert heard(listener) == ["last"]


def test_a_thousand_jobs_of_one_transaction_are_one_notification(listener: Connection):
    """A thousand jobs are placed in one transaction: one notification is sent, as all say the same. So the worker claims until nothing is left."""
    with connect(listener.info.dsn, autocommit=False) as app:
        for order in range(1, 1_001):
            app.execute(mails.PLACE, [order, 0])
        app.commit()
    assert heard(listener) == ["", "last"]


def test_both_questions_use_an_index_of_what_waits(listener: Connection):
    """Ten thousand mails are sent. What is due, and when the next one will be, are read from an index that holds none of them."""
    listener.execute(
        "insert into mails select n, now(), 'sent' from generate_series(1, 10000) n"
    )
    listener.execute("analyze mails")
    for question in (mails.CLAIM, mails.NEXT):
        plan = listener.execute(f"explain {question}")
        assert any("using mails_open" in line for (line,) in plan)


def test_who_listens_later_does_not_hear_what_was_said_before():
    """A job is placed, and committed, and then somebody listens: the notification of that job does not reach them."""
    address = postgresql_url(new_database())
    with connect(address) as app, connect(address) as late:
        app.execute(mails.CREATE)
        app.execute(mails.PLACE, [1, 0])
        late.execute("listen mails")
        app.execute("notify mails, 'later'")
        assert heard(late) == ["later", "last"]


COUNT_CLAIMS = """
    create sequence claims;
    create function count_claim() returns trigger language plpgsql as
        $$ begin perform nextval('claims'); return null; end $$;
    create trigger count_claims after update on mails
        for each statement execute function count_claim()
"""
CLAIMS_SO_FAR = """
    select last_value from claims where is_called and not exists (
        select from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and state <> 'idle')
"""
"""How often a worker has asked for a job; nothing while it does."""


def test_what_was_placed_while_nobody_listened_is_found_after_the_reconnect(
    settings: dict[str, str],
):
    """The listener's connection is closed, and while there is none a job is placed: its notification is lost. The worker asks once when it listens again, and runs it."""
    address = running("postgresql").port
    port = free_port()
    with (
        proxy(address, port) as between,
        connect(settings["DATABASE"]) as database,
    ):
        database.execute(mails.CREATE)
        database.execute(COUNT_CLAIMS)
        through = at_port(settings["DATABASE"], port)
        with serve(MAILS, env=settings | {"LISTEN": through}) as server:
            server.wait_for("listen: ready")
            ask_until(
                lambda: database.execute(CLAIMS_SO_FAR).fetchall(),
                lambda many: many == [(2,)],  # when it begins, and when it listens
                60,
            )
            between.close()
            failed = server.wait_for("listen: again in a second")
            mail(server, 1)
            again = server.wait_for("listen: again in a second", nth=2)
            assert again.time - failed.time > 0.5
            with proxy(address, port):
                server.wait_for("listen: ready", nth=2)
                server.wait_for("order 1 done")
                said = [line.text for line in server.lines]
    begun = said.index("send_mail: order 1 started")
    assert begun > len(said) - 1 - said[::-1].index("listen: ready")


def test_a_connection_that_died_in_silence_is_why_a_slow_poll_stays(
    settings: dict[str, str],
):
    """The network to the listener is cut, and no connection ends: no error, no notification. A job is placed, and the next poll finds it, here within four seconds."""
    address = running("postgresql").port
    with proxy(address) as between:
        through = at_port(settings["DATABASE"], between.port)
        env = settings | {"LISTEN": through, "POLL": "4"}
        with serve(MAILS, env=env) as server:
            server.wait_for("listen: ready")
            mail(server, 1)
            server.wait_for("order 1 done")
            with between.frozen():
                mail(server, 2)
                server.wait_for("order 2 done")
                assert not any(
                    "again in a second" in line.text for line in server.lines
                )


def test_a_database_that_is_away_is_tried_again(settings: dict[str, str]):
    """PostgreSQL is killed: the pool looks for a connection for three seconds, and the client gets a `503`. PostgreSQL comes back: the worker listens again, and the next job that is placed is run. A pool that does not check its connections would give out a dead one first."""
    postgresql = running("postgresql")
    with serve(MAILS, env=settings) as server:
        server.expect("OperationalError|AdminShutdown|PoolTimeout")  # of the worker
        server.wait_for("listen: ready")
        postgresql.kill()
        server.wait_for("listen: again in a second")
        refused = client.post(f"{server.url}/orders/4/mail")
        assert refused.status_code == 503
        assert refused.elapsed.total_seconds() > 3 * 0.9
        postgresql.start()
        for order in (1, 2, 3):
            place(server, order)
        server.wait_for("listen: ready", nth=2)
        server.wait_for("order 3 done")


def test_a_worker_that_fails_tries_again_in_a_second(settings: dict[str, str]):
    """The table is away for a moment when a notification comes: the error is in the log, and a second later the worker asks again, though it polls once an hour. It goes on when the table is back."""
    with (
        serve(MAILS, env=settings) as server,
        connect(settings["DATABASE"]) as database,
    ):
        server.wait_for("listen: ready")
        database.execute("alter table mails rename to away")
        database.execute("notify mails")
        first = server.wait_for("work: again in a second")
        later = server.wait_for("work: again in a second", nth=7)
        database.execute("insert into away values (1, now())")
        database.execute("alter table away rename to mails")
        server.wait_for("order 1 done")
    assert later.time - first.time > 1.5


def test_a_clean_stop_waits_for_the_mail_that_is_sent(
    settings: dict[str, str], tmp_path: Path
):
    """`SIGTERM` lets the mail come to its end, and wakes a worker that sleeps. What waits then is sent after the next start."""
    slow = changed(settings, tmp_path, MAILS, {"sleep(0.5)": "sleep(5)"})
    with serve("changed:app", env=slow) as first:
        for order in (1, 2):
            mail(first, order)
        first.wait_for("order 1 started")
        first.stop()
        said = [line.text for line in first.lines if "order" in line.text]
    assert [text for text in said if "send_mail" in text] == [
        "send_mail: order 1 started",
        "send_mail: order 1 done",
    ]
    with serve(MAILS, env=settings) as second:
        second.wait_for("order 2 done")
        second.stop()


def test_what_a_killed_worker_was_sending_is_sent_again(
    settings: dict[str, str], tmp_path: Path
):
    """The server is killed while it sends a mail. Its claim holds for a minute, here shortened by hand; then it is sent again, perhaps for the second time."""
    slow = changed(settings, tmp_path, MAILS, {"sleep(0.5)": "sleep(60)"})
    with serve("changed:app", env=slow) as first:
        mail(first, 1)
        first.wait_for("order 1 started")
        first.kill()
    with connect(settings["DATABASE"]) as database:
        left = "select due > now() + interval '30 s' from mails"
        assert database.execute(left).fetchone() == (True,)
        database.execute("update mails set due = now() + interval '1 s'")
    with serve(MAILS, env=settings) as second:
        second.wait_for("order 1 done")


@pytest.mark.parametrize("example", [claims, mails, growing])
def test_two_workers_that_start_at_once_create_one_table(example: Any):
    """Two workers start at the same moment, and the first has not committed its `create table`: the second waits for it. Without the lock it fails, in spite of `if not exists`."""
    unlocked = example.CREATE.partition("\n    create table")[1:]
    for create, error in ((example.CREATE, None), ("".join(unlocked), UniqueViolation)):
        address = postgresql_url(new_database())
        with (
            connect(address) as watching,
            connect(address, autocommit=False) as first,
            connect(address) as second,
            ThreadPoolExecutor(1) as thread,
        ):
            first.execute(create)
            asked = thread.submit(second.execute, create)
            waits_for_a_lock(watching, second)
            first.commit()
            assert type(asked.exception(30)) is (error or type(None))


@pytest.mark.parametrize("example", [mails, growing])
def test_what_an_app_begins_ends_with_its_lifespan(
    example: Any, monkeypatch: pytest.MonkeyPatch
):
    """When its lifespan has ended, no task of the app is left and nothing listens, even in an event loop that goes on, such as one that several tests share."""
    address = postgresql_url(new_database())

    async def begin_and_end() -> set[asyncio.Task[Any]]:
        pool = AsyncConnectionPool(address, open=False)
        monkeypatch.setattr(example, "pool", pool)
        monkeypatch.setattr(example, "LISTEN", address, raising=False)
        async with example.lifespan(example.app):
            begun = asyncio.all_tasks() - {asyncio.current_task()}
        _, go_on = await asyncio.wait(begun, timeout=5)
        return go_on

    assert in_a_thread(begin_and_end()).result() == set()


@pytest.mark.parametrize("example", [claims, mails, growing])
def test_if_not_exists_waits_for_a_transaction_that_is_open(example: Any):
    """The table and its index are there, and a worker's claim has not committed: `create index if not exists` waits for it, and with it the start of an app that says so. A worker that is frozen then keeps all others from starting."""
    address = postgresql_url(new_database())
    with (
        connect(address) as starting,
        connect(address) as watching,
        connect(address, autocommit=False) as worker,
        ThreadPoolExecutor(1) as thread,
    ):
        starting.execute(example.CREATE)
        worker.execute(example.CLAIM, [60] if example is claims else None)
        asked = thread.submit(starting.execute, example.CREATE)
        waits_for_a_lock(watching, starting)
        worker.commit()
        asked.result(30)


@pytest.mark.parametrize("example", [claims, mails, growing])
def test_the_job_that_is_due_longest_is_taken_first(example: Any):
    """Of two jobs the later one in the table has been due for longer: it is claimed first. A third, due later, is not claimed."""
    add = {
        claims: "insert into jobs (key, customer, seconds, due) values (%s, 1, 0, %s)",
        mails: "insert into mails (order_id, due) values (%s, %s)",
        growing: "insert into exports (id, due) overriding system value values (%s, %s)",
    }[example]
    with connect(postgresql_url(new_database())) as connection:
        connection.execute(example.CREATE)
        connection.execute("set enable_indexscan = off; set enable_bitmapscan = off")
        for number, due in ((1, "2026-11-26"), (2, "2026-11-25"), (3, "2999-01-01")):
            connection.execute(add, [number, due])
        lease = [60] if example is claims else None
        claimed = [
            connection.execute(example.CLAIM, lease).fetchone() for _ in range(3)
        ]
    assert [job and job[0] for job in claimed] == [2, 1, None]
