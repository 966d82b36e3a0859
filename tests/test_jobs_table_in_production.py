"""The statements of docs/jobs-table-in-production.md."""

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg.errors import (
    FeatureNotSupported,
    IdleInTransactionSessionTimeout,
)
from psycopg.rows import dict_row

from examples.jobs_table_in_production import claims, growing
from runner import Server, client, serve
from tests.copying import changed, with_changes
from tests.orders import ask_until
from tests.postgresql import (
    Connection,
    away_for_eight_seconds,
    connect,
    waits_for_a_lock,
)
from tests.services import new_database, postgresql_url, running, settings_of

pytestmark = pytest.mark.slow

CLAIMS = "examples.jobs_table_in_production.claims:app"
GROWING = "examples.jobs_table_in_production.growing:app"

AUTOCOMMIT = ', "autocommit": True'
MONTHLY = """
    create table monthly (key text, month date, unique (key, month))
        partition by range (month);
    create table november partition of monthly
        for values from ('2026-11-01') to ('2026-12-01');
    create table december partition of monthly
        for values from ('2026-12-01') to ('2027-01-01')"""


@pytest.fixture
def jobs(tmp_path: Path) -> dict[str, str]:
    """The settings of the app whose workers renew their lease, here of two seconds."""
    return settings_of(CLAIMS, tmp_path) | {"LEASE": "2"}


@pytest.fixture
def table() -> Iterator[Connection]:
    """A connection to a database with the table of `claims` and nothing else."""
    with connect(postgresql_url(new_database())) as connection:
        connection.execute(claims.CREATE)
        yield connection


@pytest.fixture
def exports() -> Iterator[Connection]:
    """A connection to a database with a year of exports, 50,000, of which none is open."""
    with connect(postgresql_url(new_database())) as connection:
        connection.execute(growing.CREATE)
        connection.execute(growing.A_YEAR, [50_000, 50_000])
        connection.execute("vacuum analyze exports")
        yield connection


def place(server: Server, order: int, seconds: float = 0.1) -> bool:
    """Place an order of customer 1; whether a job was queued for it."""
    url = f"{server.url}/customers/1/orders/{order}"
    answer = client.post(url, params={"seconds": seconds})
    assert answer.status_code == 202
    queued: bool = answer.json()["queued"]
    return queued


def points(server: Server) -> int:
    answer: int = client.get(f"{server.url}/customers/1").json()[0]["points"]
    return answer


def late(server: Server) -> Any:
    return client.get(f"{server.url}/jobs/late").json()


def started(*servers: Server) -> Counter[int]:
    """How often the job of each order was started."""
    said = "\n".join(line.text for server in servers for line in server.lines)
    return Counter(map(int, re.findall(r"order-(\d+) started", said)))


def wait_for_either(text: str, *servers: Server) -> None:
    """Wait until one of them has printed it."""
    ask_until(lambda: any(text in s.transcript() for s in servers), bool, 60)


# A row that stays "running"


def test_a_claim_without_a_time_leaves_the_row_running_for_ever(
    jobs: dict[str, str], tmp_path: Path
):
    """With a claim that takes `waiting` rows alone, the worker is killed: other workers run the next job, and that row says `running` until somebody changes it."""
    plain = {
        "status in ('waiting', 'running')\n            and": "status = 'waiting' and"
    }
    env = changed(jobs, tmp_path, CLAIMS, plain) | {"LEASE": "0.1"}
    with serve("changed:app", env=env) as first:
        place(first, 1, 5)
        first.wait_for("order-1 started")
        first.kill()
    with serve("changed:app", env=env) as second:
        for order in range(2, 12):
            place(second, order)
        second.wait_for(r"order-\d+ done", nth=10)
        assert started(second)[1] == 0
        assert late(second) == [{"id": 1, "key": "order-1", "attempts": 1}]


def test_a_killed_workers_job_is_late_and_then_taken_by_another(jobs: dict[str, str]):
    """The app is killed in the middle of a job. The next one takes the job when the lease is over, not before."""
    with serve(CLAIMS, env=jobs) as first:
        place(first, 1, 8)
        begun = first.wait_for("order-1 started")
        first.kill()
    with serve(CLAIMS, env=jobs) as second:
        again = second.wait_for("order-1 started")
        second.wait_for("order-1 done")
        assert points(second) == 10
    assert again.time - begun.time > 1.5


def test_a_job_longer_than_the_lease_is_not_taken_while_its_worker_lives(
    jobs: dict[str, str],
):
    """A job takes twice as long as the lease, and two apps look for jobs all the time. Its worker renews it after each third of the lease: the job runs once. When it is done nobody renews it any more."""
    env = jobs | {"LEASE": "3"}
    with serve(CLAIMS, env=env) as one, serve(CLAIMS, env=env) as other:
        place(one, 1, 6)
        wait_for_either("order-1 done", one, other)
        assert started(one, other) == {1: 1}
        assert late(one) == []
        with connect(jobs["DATABASE"]) as database:
            due = "select due from jobs where id = 1"
            before = database.execute(due).fetchone()
            place(one, 2, 2)
            wait_for_either("order-2 done", one, other)
            assert database.execute(due).fetchone() == before


def test_a_worker_that_was_frozen_comes_too_late(jobs: dict[str, str]):
    """A worker is stopped for longer than its lease, as a virtual machine that is moved. Another takes its job. When the first goes on it finds that the job is not its own any more, and changes nothing: the job ran twice and counts once."""
    with (
        serve(CLAIMS, env=jobs) as one,
        serve(CLAIMS, env=jobs) as other,
        ExitStack() as stopped,
    ):
        with other.frozen():
            place(one, 1, 8)
            one.wait_for("order-1 started")
            stopped.enter_context(one.frozen())
        other.wait_for("order-1 done")
        stopped.close()
        one.wait_for("order-1 too late")
        assert points(one) == 10


def test_a_job_that_blocks_the_loop_stops_its_own_heartbeat(
    jobs: dict[str, str], tmp_path: Path
):
    """The same job with `time.sleep` in place of `await asyncio.sleep`: its heartbeat waits behind it, and the lease runs out. A second app starts the job while the first is at it, and so on, up to five times. One run counts, the last; those before it come too late."""
    blocking = {"await asyncio.sleep(seconds)": "__import__('time').sleep(seconds)"}
    env = changed(jobs, tmp_path, CLAIMS, blocking) | {"LEASE": "0.5"}
    with serve("changed:app", env=env) as one, serve("changed:app", env=env) as other:
        place(one, 1, 3)
        ask_until(
            lambda: f"{one.transcript()}{other.transcript()}",
            lambda said: (
                "order-1 done" in said
                and said.count("too late") == said.count("started") - 1
            ),
            60,
        )
        assert 2 <= started(one, other)[1] <= 5
        assert points(one) == 10


def test_a_job_that_hangs_is_ended_at_its_limit_and_begun_five_times(
    jobs: dict[str, str],
):
    """A heartbeat says that the worker lives, not that the job gets on. What hangs is ended at the limit, here a second, and begun again when the lease is over, five times in all. Then it is late, for somebody to look at, and the others go on. Given back by hand it is begun again."""
    with serve(CLAIMS, env=jobs | {"LIMIT": "1", "LEASE": "0.5"}) as server:
        server.expect("TimeoutError")
        place(server, 1, 60)
        server.wait_for("order-1 started", nth=5)
        hangs = [{"id": 1, "key": "order-1", "attempts": 5}]
        ask_until(partial(late, server), lambda now: now == hangs, 30)
        for order in range(2, 12):
            place(server, order, 0)
        server.wait_for(r"order-\d+ done", nth=10)
        assert started(server)[1] == 5
        assert client.post(f"{server.url}/jobs/1/give-back").status_code == 202
        server.wait_for("order-1 started", nth=6)


def test_what_is_given_back_by_hand_runs_elsewhere_and_the_first_comes_too_late(
    jobs: dict[str, str],
):
    """A job is given back while its worker is at it, with a lease of an hour. The other worker takes it at once; of the two runs one counts. What does not run cannot be given back: `409`."""
    with serve(CLAIMS, env=jobs | {"LEASE": "3600"}) as server:
        place(server, 1, 3)
        server.wait_for("order-1 started")
        assert late(server) == []
        assert client.post(f"{server.url}/jobs/1/give-back").status_code == 202
        again = server.wait_for("order-1 started", nth=2)
        assert again.time < server.wait_for("order-1 too late").time
        server.wait_for("order-1 done")
        assert points(server) == 10
        assert client.post(f"{server.url}/jobs/1/give-back").status_code == 409


def test_an_earlier_attempt_can_neither_renew_nor_finish(table: Connection):
    """A job was claimed again, or given back by hand: what its first worker says, still alive or again, matches no row."""
    table.execute(claims.PLACE, ["order-1", 1, 0])

    def says(attempt: int) -> list[int]:
        renewed = table.execute(claims.RENEW, [60, 1, attempt])
        return [
            renewed.rowcount,
            table.execute(claims.DONE, [1, attempt]).rowcount,
        ]

    table.execute(claims.CLAIM, [60])
    table.execute(claims.GIVE_BACK, [1])
    assert says(1) == [0, 0]
    table.execute(claims.CLAIM, [0])
    table.execute(claims.CLAIM, [60])
    assert says(3) == [0, 0]
    assert says(4) == [1, 1]


def test_a_pool_that_checks_its_connections_survives_a_restart_of_the_database(
    jobs: dict[str, str],
):
    """PostgreSQL is killed and comes back, and all connections of the pool are dead. The next requests get new ones: without `check` they would get an error. While it is away, the pool looks for a connection for three seconds, and the client gets a `503`."""
    postgresql = running("postgresql")
    with serve(CLAIMS, env=jobs) as server:
        server.expect("OperationalError|AdminShutdown|PoolTimeout")  # of a worker
        with server.frozen():  # nobody notices it
            postgresql.kill()
            postgresql.start()
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(client.get, [f"{server.url}/jobs/late"] * 4))
        postgresql.kill()
        refused = client.get(f"{server.url}/jobs/late")
        postgresql.start()
    assert {answer.status_code for answer in answers} == {200}
    assert refused.status_code == 503
    assert 3 * 0.9 < refused.elapsed.total_seconds() < 20


def test_after_an_outage_a_pool_that_gives_up_soon_is_back_first(jobs: dict[str, str]):
    """PostgreSQL is away for eight seconds. A pool with `reconnect_timeout=3` gives up, and the next request tries: it works again in less than half the time of a pool with the default of 300, which waits for its own next try, twice as long each time."""
    ours, default = away_for_eight_seconds(CLAIMS, jobs, "/jobs/late")
    assert ours < default / 2


def test_a_clean_stop_waits_for_the_jobs_that_run(jobs: dict[str, str]):
    """`SIGTERM` lets both workers' jobs come to their end. A third that waits stays for the next start."""
    with serve(CLAIMS, env=jobs) as server:
        for order in (1, 2, 3):
            place(server, order, 3)
        server.wait_for("order-2 started")
        server.stop()
        assert started(server) == {1: 1, 2: 1}
        server.wait_for("order-. done", nth=2)


@pytest.mark.parametrize(("target", "table"), [(CLAIMS, "jobs"), (GROWING, "exports")])
def test_a_table_that_is_away_is_asked_again_each_second(
    target: str, table: str, tmp_path: Path
):
    """The table is away for a moment: the error is in the log, and a second later each worker asks again, as does what cleans up. They go on when the table is back."""
    env = settings_of(target, tmp_path) | {"SWEEP": "1"}
    logged, ends, job = {
        CLAIMS: (
            "tried again when",
            "order-1 done",
            "(key, customer, seconds) values ('order-1', 1, 0)",
        ),
        GROWING: (
            "tried again after",
            "clean_up",
            "(status, finished) values ('done', now() - interval '1 year')",
        ),
    }[target]
    with serve(target, env=env) as server, connect(env["DATABASE"]) as database:
        server.expect("UndefinedTable")
        database.execute(f"alter table {table} rename to away")
        first = server.wait_for(logged)
        later = server.wait_for(logged, nth=5)  # of two workers at most
        database.execute(f"insert into away {job}")
        database.execute(f"alter table away rename to {table}")
        server.wait_for(ends)
    assert later.time - first.time > 1.5


def test_a_heartbeat_goes_on_after_an_error(jobs: dict[str, str]):
    """The table is away when a heartbeat renews the lease: the error is in the log, the next one renews it, and nobody else begins the job."""
    env = jobs | {"LEASE": "6"}
    with (
        serve(CLAIMS, env=env) as server,
        connect(jobs["DATABASE"]) as database,
    ):
        server.expect("UndefinedTable")
        place(server, 1, 13)
        server.wait_for("order-1 started")
        database.execute("alter table jobs rename to away")
        server.wait_for("renewed a third of the lease later")
        database.execute("alter table away rename to jobs")
        server.wait_for("order-1 done", timeout=60)
        assert started(server) == {1: 1}


# Twice


def test_a_job_that_is_placed_twice_is_one_job(jobs: dict[str, str]):
    """With `--workers 2` twenty clients place the same order at once: one of them queues a job, nineteen find it there, and it runs once. When it is done it is not queued again, until its row is deleted."""
    with serve(CLAIMS, "--workers", "2", env=jobs) as server:
        with ThreadPoolExecutor(20) as threads:
            placed = list(threads.map(lambda _: place(server, 1), range(20)))
        assert placed.count(True) == 1
        server.wait_for("order-1 done")
        assert place(server, 1) is False
        place(server, 2)
        server.wait_for("order-2 done")
        assert started(server) == {1: 1, 2: 1}
        assert points(server) == 20
        with connect(jobs["DATABASE"]) as database:
            database.execute("delete from jobs")
        assert place(server, 1) is True


@pytest.mark.parametrize(("mode", "points_at_last"), [("", 10), (AUTOCOMMIT, 0)])
def test_a_crash_between_the_mark_and_the_effect_leaves_neither(
    jobs: dict[str, str], tmp_path: Path, mode: str, points_at_last: int
):
    """The process is killed when it has marked the job and not yet added the points: the mark is gone with it, and the next worker runs the job and adds them. With `autocommit`, where each statement is a transaction, the job is done and the points are missing for ever."""
    add = "            await connection.execute(ADD"
    dies = {add: f"            attempt > 1 or os.kill(os.getpid(), 9)\n{add}"}
    rows = '"row_factory": rows.dict_row'
    env = changed(jobs, tmp_path, CLAIMS, {**dies, rows: rows + mode})
    with serve("changed:app", env=env) as first:
        with suppress(httpx.TransportError):  # it may be killed before it answers
            place(first, 1)
        first.wait()
    with serve(CLAIMS, env=jobs), connect(jobs["DATABASE"]) as database:
        status = "select status from jobs"
        ask_until(
            lambda: database.execute(status).fetchone(),
            lambda row: row == ("done",),
            30,
        )
        added = database.execute("select coalesce(sum(points), 0) from customers")
        assert added.fetchone() == (points_at_last,)


# SKIP LOCKED


@contextmanager
def claimed_by_one(table: Connection, claim: str) -> Iterator[Connection]:
    """Of two jobs one is claimed by somebody who has not committed yet."""
    for order in (1, 2):
        table.execute(claims.PLACE, [f"order-{order}", 1, 0])
    with connect(table.info.dsn, autocommit=False, row_factory=dict_row) as first:
        assert first.execute(claim, [60]).fetchone()["job"] == 1
        yield first


def test_skip_locked_takes_the_next_job_without_waiting(table: Connection):
    """One worker has claimed the first job and has not committed. Another claims at the same time: it waits for nobody, and gets the second."""
    with (
        claimed_by_one(table, claims.CLAIM),
        connect(table.info.dsn, row_factory=dict_row) as second,
    ):
        second.execute("set lock_timeout = 1")  # ms; to wait would be an error
        assert second.execute(claims.CLAIM, [60]).fetchone()["job"] == 2


def test_without_a_lock_both_get_the_same_job(table: Connection):
    """Without `for update skip locked` the second worker waits for the first one's commit, and then gets the job that the first has."""
    claim = with_changes(claims.CLAIM, {" for update skip locked": ""})
    with (
        claimed_by_one(table, claim) as first,
        connect(table.info.dsn, row_factory=dict_row) as second,
        ThreadPoolExecutor(1) as thread,
    ):
        asked = thread.submit(second.execute, claim, [60])
        waits_for_a_lock(table, second)
        first.commit()
        assert asked.result(30).fetchone()["job"] == 1


def test_several_workers_share_the_jobs_and_run_none_twice(jobs: dict[str, str]):
    """Four workers in two processes, forty jobs, placed one after another: each is started once."""
    with serve(CLAIMS, "--workers", "2", env=jobs | {"LEASE": "600"}) as server:
        for order in range(1, 41):
            place(server, order, 0.05)
        server.wait_for(r"order-\d+ done", nth=40)
        assert started(server) == Counter(range(1, 41))


# It grows


def pages_read(connection: Connection, claim: str, *values: Any) -> int:
    """How many pages of the table and of its indexes one claim reads. It is rolled back."""
    with connection.transaction(force_rollback=True):
        explained = connection.execute(
            f"explain (analyze, buffers, format json) {claim}", values
        )
        [plan] = explained.fetchone()[0]
        return plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]


def plan_of(connection: Connection, claim: str = growing.CLAIM) -> str:
    explained = connection.execute(f"explain (costs off) {claim}")
    return "\n".join(line for (line,) in explained)


def open_jobs(connection: Connection, number: int) -> None:
    connection.execute(
        "insert into exports (due) select now() from generate_series(1, %s)", [number]
    )


def test_the_claim_uses_the_partial_index(tmp_path: Path):
    """A year of exports, 20,000, is done. What PostgreSQL says about the claim names `exports_open`, an index with the open ones only."""
    with serve(GROWING, env=settings_of(GROWING, tmp_path)) as server:
        assert client.post(f"{server.url}/years/20000").status_code == 201
        plan = client.get(f"{server.url}/plan").json()
    assert any("Index Scan using exports_open" in line for line in plan)
    assert not any("Seq Scan" in line for line in plan)


def test_without_the_partial_index_each_claim_reads_the_whole_table(
    exports: Connection,
):
    """With ten open exports among 50,000 the claim reads a few pages. Without the index its plan is a `Seq Scan`, and it reads more than twenty times as many; with an index on `due` alone, which holds all rows that were ever done, no fewer."""
    open_jobs(exports, 10)
    with_index = pages_read(exports, growing.CLAIM)
    exports.execute("drop index exports_open")
    assert "Seq Scan" in plan_of(exports)
    without = pages_read(exports, growing.CLAIM)
    exports.execute("create index on exports (due)")
    exports.execute("set enable_seqscan = off")  # whatever the planner thinks of it
    assert "exports_due_idx" in plan_of(exports)
    of_all = pages_read(exports, growing.CLAIM)
    assert without > 20 * with_index
    assert of_all > 20 * with_index


def test_the_claim_must_say_what_the_index_says(exports: Connection):
    """With `status <> 'done'` the claim means the same and does not use the index: PostgreSQL does not know that there are no other states. With `status = 'waiting'`, which is less than the index holds, it does."""
    open_jobs(exports, 10)
    condition = "status in ('waiting', 'running')"
    for words, used in (("status <> 'done'", False), ("status = 'waiting'", True)):
        plan = plan_of(exports, with_changes(growing.CLAIM, {condition: words}))
        assert ("exports_open" in plan) == used


def test_done_jobs_are_deleted_a_thousand_at_a_time(tmp_path: Path):
    """Of a year of exports, 100,000, what is older than thirty days is deleted, a thousand in a transaction: killed in the middle, the app has deleted whole batches, and the next start goes on from there. What is younger stays, and so does an old one that is not done."""
    env = settings_of(GROWING, tmp_path) | {"SWEEP": "0.5"}
    count = "select count(*) from exports where status = %s"
    with connect(env["DATABASE"]) as database:

        def number(status: str) -> int:
            [found] = database.execute(count, [status]).fetchone()
            return int(found)

        with serve(GROWING, env=env) as first:
            add = "insert into exports (due) values (now() - interval '1 year')"
            database.execute(add)
            client.post(f"{first.url}/years/100000")
            first.wait_for("clean_up: a batch deleted")
            with database.transaction():
                database.execute("lock table exports in share mode")  # it waits here
                left = number("done")
                first.kill()
        assert left % 1_000 == 0
        assert 9_000 < left < 100_000
        with serve(GROWING, env=env):
            left = ask_until(partial(number, "done"), lambda now: now < 9_000, 60)
        assert left > 8_000
        assert number("waiting") == 1


def test_two_processes_delete_other_rows_and_use_the_index(exports: Connection):
    """Two clean up at the same time: neither waits, and each deletes a thousand rows of its own. They find them by an index of what is done."""
    plan = exports.execute(f"explain {growing.DELETE}")
    assert any("Index Scan using exports_done" in line for (line,) in plan)
    with connect(exports.info.dsn, autocommit=False) as other:
        assert other.execute(growing.DELETE).rowcount == 1_000
        exports.execute("set lock_timeout = 1")  # ms; to wait would be an error
        assert exports.execute(growing.DELETE).rowcount == 1_000


def test_deleting_does_not_shrink_the_file_but_its_room_is_used_again(
    exports: Connection,
):
    """Nine tenths of the rows, the oldest, are deleted and vacuumed: the table's file is as large as before. As many new rows go into the same room."""
    size = "select pg_relation_size('exports')"
    [before] = exports.execute(size).fetchone()
    while exports.execute(growing.DELETE).rowcount:
        pass
    exports.execute("vacuum exports")
    [after] = exports.execute(size).fetchone()
    assert exports.execute("select count(*) < 5000 from exports").fetchone() == (True,)
    assert after == before
    exports.execute(growing.A_YEAR, [40_000, 40_000])
    [again] = exports.execute(size).fetchone()
    assert again < 1.1 * before


def test_a_partitioned_table_has_no_unique_key_of_its_own(table: Connection):
    """A table that is partitioned by month cannot have a unique `key`: PostgreSQL wants the month in it, and then next month's is another key."""
    with pytest.raises(FeatureNotSupported, match="all partitioning"):
        table.execute(MONTHLY.replace("unique (key, month)", "unique (key)"))
    table.execute(MONTHLY)
    table.execute("""
        insert into monthly values ('order-1', '2026-11-30'), ('order-1', '2026-12-01');
        drop table november""")
    assert table.execute("select count(*) from monthly").fetchone() == (1,)


@pytest.mark.parametrize("kind", ["claim", "report"])
def test_a_transaction_that_stays_open_makes_every_claim_slower(
    table: Connection, kind: str
):
    """One worker keeps the transaction of its claim open while its job runs, or somebody's report reads one state of the database for hours. Meanwhile 20,000 jobs are done, and `vacuum` can remove none of the dead rows that they leave: a claim reads more than five times as many pages as when that transaction has ended."""
    table.execute(
        "insert into jobs (key, customer, seconds) "
        "select n, 1, 0 from generate_series(1, 20002) n"
    )
    dead = "select n_dead_tup from pg_stat_user_tables where relname = 'jobs'"
    with connect(table.info.dsn, autocommit=False) as slow:
        if kind == "claim":
            slow.execute(claims.CLAIM, [3600])
        else:
            slow.execute("set transaction isolation level repeatable read")
            slow.execute("select count(*) from customers")
            table.execute(claims.CLAIM, [3600])
        table.execute("update jobs set status = 'done' where id between 2 and 20001")
        table.execute("vacuum jobs")
        assert table.execute(dead).fetchone()[0] >= 20_000
        held_up = pages_read(table, claims.CLAIM, 3600)
    table.execute("vacuum jobs")
    assert held_up > 5 * pages_read(table, claims.CLAIM, 3600)


def test_a_forgotten_transaction_is_ended_by_postgresql(table: Connection):
    """With `idle_in_transaction_session_timeout` PostgreSQL ends a transaction in which nothing is said for so long, here a tenth of a second, and its connection."""
    with connect(table.info.dsn, autocommit=False) as forgotten:
        forgotten.execute("set idle_in_transaction_session_timeout = 100")
        forgotten.execute(claims.CLAIM, [3600])
        there = "select 1 from pg_stat_activity where pid = %s"
        pid = forgotten.info.backend_pid
        ask_until(
            lambda: table.execute(there, [pid]).fetchone(), lambda row: not row, 30
        )
        with pytest.raises(IdleInTransactionSessionTimeout):
            forgotten.execute(claims.CLAIM, [3600])
