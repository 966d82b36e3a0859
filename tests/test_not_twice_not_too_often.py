"""The statements of docs/not-twice-not-too-often.md."""

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from runner import Server, client, serve
from runner.needs import needs_of, start_worker
from tests.copying import changed
from tests.orders import ask_until
from tests.services import settings_of

pytestmark = pytest.mark.slow

PER_USER = "examples.not_twice_not_too_often.one_per_user:app"
LOCK = "examples.not_twice_not_too_often.advisory_lock:app"
DOUBLE = "examples.not_twice_not_too_often.double_click:app"
RATE = "examples.not_twice_not_too_often.rate_limit:app"
WAITING = "examples.not_twice_not_too_often.only_waiting:app"
KILLED = "examples.not_twice_not_too_often.killed:app"
LANES = "examples.not_twice_not_too_often.short_and_long:app"
CELERY = "examples.not_twice_not_too_often.with_celery:app"
CELERY_LOCK = "examples.not_twice_not_too_often.one_per_user_in_celery:app"


def post(server: Server, path: str, **more: Any) -> httpx.Response:
    return client.post(f"{server.url}{path}", timeout=60, **more)


def at_once(server: Server, path: str, times: int, **more: Any) -> list[httpx.Response]:
    """The answers to so many clients that ask at the same time."""
    with ThreadPoolExecutor(times) as threads:
        asked = [threads.submit(post, server, path, **more) for _ in range(times)]
        return [one.result() for one in asked]


def most_at_once(server: Server) -> Counter[str]:
    """For each user, and "all", how many reports were built at the same time at most."""
    now, most = Counter[str](), Counter[str]()
    said = "\n".join(line.text for line in server.lines)
    for user, what in re.findall(r"user (\d+).*? (started|done)", said):
        for who in (user, "all"):
            now[who] += 1 if what == "started" else -1
            most[who] = max(most[who], now[who])
    return most


def finished(server: Server, number: int) -> None:
    server.wait_for(r"build_report: user \d+.* done", nth=number)


def test_two_workers_build_one_report_per_user_at_a_time(tmp_path: Path):
    """With `--workers 2` three users ask for five reports each: never two of one user at once, and several users at once."""
    with serve(
        PER_USER, "--workers", "2", env=settings_of(PER_USER, tmp_path)
    ) as server:
        for year in range(2021, 2026):
            for user in (1, 2, 3):
                assert post(server, f"/users/{user}/reports/{year}").status_code == 202
        finished(server, 15)
        most = most_at_once(server)
    assert most.pop("all") > 1
    assert most == {"1": 1, "2": 1, "3": 1}


def test_a_user_with_many_jobs_does_not_hold_up_the_others(tmp_path: Path):
    """One user asks for thirty reports, then another for one: that one is built long before the thirty are."""
    with serve(PER_USER, env=settings_of(PER_USER, tmp_path)) as server:
        for year in range(2001, 2031):
            post(server, f"/users/1/reports/{year}")
        post(server, "/users/2/reports/2026")
        server.wait_for("user 2 2026 done")
        said = "\n".join(line.text for line in server.lines)
    assert said.count("user 1") < 50


def test_what_waits_is_not_queued_twice(tmp_path: Path):
    """While a report waits, twenty requests for the same one add nothing. Once it has begun it can be queued again, so no change is missed."""
    env = settings_of(PER_USER, tmp_path)
    with serve(PER_USER, "--workers", "2", env=env) as server:
        for year in range(2001, 2016):
            post(server, f"/users/7/reports/{year}")
        answers = at_once(server, "/users/7/reports/2026", 20)
        assert [a.json()["queued"] for a in answers].count(True) == 1
        server.wait_for("user 7 2026 started")
        again = post(server, "/users/7/reports/2026")
        assert again.json() == {"queued": True}
        server.wait_for("user 7 2026 done", nth=2)


def test_a_dead_workers_user_waits_for_the_lease(tmp_path: Path):
    """The server is killed while it builds a report. The user's reports go on when the lease is over, here four seconds, and each is built."""
    env = settings_of(PER_USER, tmp_path) | {"LEASE": "4"}
    slow = changed(env, tmp_path, PER_USER, {"time.sleep(0.2)": "time.sleep(60)"})
    with serve("changed:app", env=slow) as first:
        for year in (2025, 2026):
            post(first, f"/users/1/reports/{year}")
        begun = first.wait_for("user 1 2025 started")
        first.kill()
    with serve(PER_USER, env=env) as second:
        again = second.wait_for("user 1 2025 started")
        second.wait_for("user 1 2026 done")
    assert again.time - begun.time > 3


def test_a_report_that_fails_three_times_gives_way(tmp_path: Path):
    """A report that fails is begun three times, a lease apart. Then the user's next one is built."""
    fails = {"    time.sleep(0.2)": "    assert year != 2025\n    time.sleep(0.2)"}
    env = settings_of(PER_USER, tmp_path) | {"LEASE": "1"}
    env = changed(env, tmp_path, PER_USER, fails)
    with serve("changed:app", env=env) as server:
        server.expect("AssertionError")
        for year in (2025, 2026):
            post(server, f"/users/1/reports/{year}")
        server.wait_for("user 1 2026 done")
        assert server.transcript().count("user 1 2025 started") == 3


def test_a_lease_that_is_too_short_lets_two_run_at_once(tmp_path: Path):
    """With a lease of 0.2 seconds, a report that takes five is built twice at the same time."""
    env = settings_of(PER_USER, tmp_path) | {"LEASE": "0.2"}
    env = changed(env, tmp_path, PER_USER, {"time.sleep(0.2)": "time.sleep(5)"})
    with serve("changed:app", env=env) as server:
        post(server, "/users/1/reports/2026")
        ask_until(lambda: most_at_once(server)["1"], lambda most: most > 1, 30)


def test_a_lock_in_postgresql_lets_one_in_over_all_workers(tmp_path: Path):
    """With `--workers 2`, four reports of one user and two of another: never two of one user at once, and all are built."""
    with serve(LOCK, "--workers", "2", env=settings_of(LOCK, tmp_path)) as server:
        for user in (1, 2, 1, 2, 1, 1):
            assert post(server, f"/users/{user}/reports").status_code == 202
        finished(server, 6)
        most = most_at_once(server)
    assert most == {"1": 1, "2": 1, "all": 2}


def test_the_lock_ends_with_its_process(tmp_path: Path):
    """The process that holds the lock is killed: the one that waits gets it, and no lease has to run out."""
    env = settings_of(LOCK, tmp_path)
    slow = changed(env, tmp_path, LOCK, {"sleep(1)": "sleep(60)"})
    with serve("changed:app", env=slow) as first, serve(LOCK, env=env) as second:
        post(first, "/users/1/reports")
        first.wait_for("user 1 started")
        post(second, "/users/1/reports")
        first.kill()
        second.wait_for("user 1 done")
    assert not any("done" in line.text for line in first.lines)


def test_twenty_requests_with_one_key_are_one_payment(tmp_path: Path):
    """With `--workers 2` twenty requests come at once with the same key. All get the same answer, and the card is charged once. The key with another amount is a `409`, a request without one a `422`."""
    env = settings_of(DOUBLE, tmp_path)
    key = {"Idempotency-Key": "cart-4711"}
    tea: dict[str, Any] = {"json": {"user": 1, "cents": 250}, "headers": key}
    with serve(DOUBLE, "--workers", "2", env=env) as server:
        answers = at_once(server, "/payments", 20, **tea)
        assert {(a.status_code, a.text) for a in answers} == {(202, '{"payment":1}')}
        other = post(server, "/payments", **tea | {"json": {"user": 1, "cents": 999}})
        assert other.status_code == 409
        assert post(server, "/payments", json=tea["json"]).status_code == 422
        post(server, "/payments", **tea | {"headers": {"Idempotency-Key": "cart-4712"}})
        server.wait_for("charge: payment 2")
        said = "\n".join(line.text for line in server.lines)
    assert said.count("charge: payment 1") == 1


def test_two_workers_share_one_rate(tmp_path: Path):
    """Two processes, twenty calls, ten a second: each call has a moment of its own, a tenth of a second from the next, and begins no sooner."""
    env = settings_of(RATE, tmp_path) | {"PER_MINUTE": "600"}
    moments = []
    with serve(RATE, env=env) as first, serve(RATE, env=env) as second:
        for number in range(1, 11):
            for server in (first, second):
                at = post(server, f"/rates/{number}").json()["at"]
                moments.append((at, server, number))
        begun = [
            server.wait_for(f"fetch_rate: {number} called").time
            for _, server, number in moments
        ]
    offset = time.time() - time.monotonic()
    times = [at for at, _, _ in moments]
    assert all(b - a > 0.098 for a, b in pairwise(times))
    assert all(at < line + offset + 0.05 for at, line in zip(times, begun, strict=True))


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_time_limit_ends_the_waiting_only(kind: str):
    """After one second the client has its `504`. The thread, and the pool's process too, goes on to its end, and until then the next report waits for it."""
    with serve(WAITING) as server:
        assert post(server, f"/{kind}/reports/1984").status_code == 504
        assert post(server, f"/{kind}/reports/2026").status_code == 504
        server.wait_for("build_report: 1984 done")
        said = [line.text for line in server.lines]
    given_up = said.index("create_report: 2026 given up")
    assert given_up < said.index("build_report: 1984 done")


def spawned(server: Server) -> list[psutil.Process]:
    """The processes that it has for reports."""
    children = psutil.Process(server.process.pid).children(recursive=True)
    return [one for one in children if "spawn_main" in " ".join(one.cmdline())]


def test_a_process_of_its_own_is_killed_at_the_limit():
    """Three reports hang, two at a time. Each client has its `504`, no process is left, and the next report is built."""
    with serve(KILLED) as server:
        hung = at_once(server, "/reports/1984", 3)
        assert {answer.status_code for answer in hung} == {504}
        third = server.wait_for("build_report: 1984 started", nth=3)
        assert third.time > server.wait_for("create_report: 1984 killed").time
        assert spawned(server) == []
        assert post(server, "/reports/2026").json()["total"] > 0


PATIENT = {"LIMIT = 1.0": "LIMIT = 60.0"}


def test_a_report_that_fails_is_a_500_and_not_too_slow(tmp_path: Path):
    """A report that raises is a `500`; only one that was killed at its limit is a `504`."""
    fails = {"    while year == 1984:": "    while year == int('no number'):"}
    env = changed({}, tmp_path, KILLED, fails | PATIENT)
    with serve("changed:app", env=env) as server:
        assert post(server, "/reports/2026").status_code == 500
        server.wait_for("ValueError: invalid literal")


def test_the_process_ends_when_the_server_is_killed(tmp_path: Path):
    """The server is killed while a report hangs: its process ends too."""
    env = changed({}, tmp_path, KILLED, PATIENT)
    with serve("changed:app", env=env) as server, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(post, server, "/reports/1984")
        server.wait_for("build_report: 1984 started")
        [process] = spawned(server)
        server.process.send_signal(9)
        assert process.wait(30) is None
        assert isinstance(waiting.exception(), httpx.TransportError)


def position(server: Server, text: str) -> int:
    server.wait_for(text)
    return [text in line.text for line in server.lines].index(True)


def five_of_each(server: Server) -> None:
    for kind in ("long", "short"):
        for number in range(1, 6):
            post(server, f"/jobs/{kind}/{number}")


def test_short_jobs_wait_behind_long_ones(tmp_path: Path):
    """Two workers that take everything: of five long jobs and then five short ones, the first short one begins after three long ones."""
    env = settings_of(LANES, tmp_path) | {"WORKERS": "any any"}
    with serve(LANES, env=env) as server:
        five_of_each(server)
        short = position(server, "short job 1 started")
        assert position(server, "long job 3 done") < short


def test_a_worker_for_short_jobs_does_them_first(tmp_path: Path):
    """One of the two takes short jobs only: all five are done before three long ones are."""
    with serve(LANES, env=settings_of(LANES, tmp_path)) as server:
        five_of_each(server)
        short = position(server, "short job 5 done")
        assert short < position(server, "long job 3 done")


def celery_worker(
    env: dict[str, str], *options: str, target: str = CELERY
) -> AbstractContextManager[Server]:
    module = target.removesuffix(":app")
    return start_worker(needs_of(CELERY), module, env, "--concurrency", "1", *options)


@pytest.mark.queues
def test_in_celery_short_jobs_need_a_queue_and_a_worker_of_their_own(tmp_path: Path):
    """One worker for both queues: the receipt comes after the report that was sent before it. With a worker for the queue `short` it comes while the report runs."""
    env = settings_of(CELERY, tmp_path)
    with serve(CELERY, env=env) as app, celery_worker(env, "-Q", "celery,short") as one:
        post(app, "/reports/1")
        one.wait_for("build_report: 1 started")
        post(app, "/receipts/1")
        assert position(one, "report: 1 done") < position(one, "send_receipt: 1")
    with (
        serve(CELERY, env=env) as app,
        celery_worker(env, "-Q", "celery", "--hostname", "long@%h") as long,
        celery_worker(env, "-Q", "short", "--hostname", "short@%h") as short,
    ):
        post(app, "/reports/2")
        begun = long.wait_for("build_report: 2 started")
        post(app, "/receipts/2")
        sent = short.wait_for("send_receipt: 2")
        ended = long.wait_for("build_report: 2 done")
    assert begun.time < sent.time < ended.time


@pytest.mark.queues
def test_in_celery_a_lock_and_retry_let_one_job_of_a_user_run(tmp_path: Path):
    """A worker with two processes, three reports of one user and one of another: never two of one user at once, and all are built. A job that waits holds no process, and a user's reports may run in another order than they were placed."""
    env = settings_of(CELERY_LOCK, tmp_path)
    with (
        serve(CELERY_LOCK, env=env) as app,
        celery_worker(env, "--concurrency", "2", target=CELERY_LOCK) as worker,
    ):
        for user, year in ((1, 2024), (1, 2025), (1, 2026), (2, 2026)):
            post(app, f"/users/{user}/reports/{year}")
        finished(worker, 4)
        most = most_at_once(worker)
    assert most == {"1": 1, "2": 1, "all": 2}


@pytest.mark.queues
def test_in_celery_the_lock_of_a_killed_process_ends_with_its_lease(tmp_path: Path):
    """The worker's process is killed in a report: the report comes again at once, and is begun when the lease is over, here three seconds."""
    env = settings_of(CELERY_LOCK, tmp_path) | {"LEASE": "3"}
    env = changed(env, tmp_path, CELERY_LOCK, {"time.sleep(1)": "time.sleep(2)"})
    with (
        serve("changed:app", env=env) as app,
        celery_worker(env, target="changed:app") as worker,
    ):
        worker.expect("WorkerLostError|SIGKILL")
        post(app, "/users/1/reports/2026")
        begun = worker.wait_for("user 1 2026 started")
        [process] = psutil.Process(worker.process.pid).children()
        process.kill()
        again = worker.wait_for("user 1 2026 started", nth=2)
        worker.wait_for("user 1 2026 done")
    assert again.time - begun.time > 3 * 0.9
