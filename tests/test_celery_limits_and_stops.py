"""The statements of docs/celery-limits-and-stops.md."""

import re
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import psutil
import pytest

from runner import Server, client, serve
from runner.needs import NEEDS, start_worker
from runner.process import PYTHON, start
from tests.copying import changed
from tests.orders import ask_until, state

pytestmark = [pytest.mark.slow, pytest.mark.queues]

APP = "examples.celery_limits_and_stops.stops:app"
TIME_LIMITS = "examples.celery_limits_and_stops.time_limits:app"
REMINDERS = "examples.celery_limits_and_stops.reminders:app"
DUE_ROWS = "examples.celery_limits_and_stops.due_rows:app"
RATE_LIMIT = "examples.celery_limits_and_stops.rate_limit:app"

SOFT = {"REMAP_SIGTERM": "SIGQUIT", "SOFT_SHUTDOWN": "1"}


def a_worker(
    settings: dict[str, str], target: str = APP, *options: str
) -> AbstractContextManager[Server]:
    """A worker with one process, unless the options say something else."""
    module = target.removesuffix(":app")
    return start_worker(
        NEEDS["celery_limits_and_stops"],
        module,
        settings,
        *("--concurrency", "1"),
        *options,
    )


def post(server: Server, path: str) -> str:
    """The id of the job, if the answer names one."""
    answer = client.post(server.url + path)
    assert answer.status_code == 202
    return str((answer.json() or {}).get("job"))


def becomes(server: Server, job: str, status: str) -> None:
    ask_until(lambda: state(server, job)["status"], lambda now: now == status, 60)


def printed(server: Server, pattern: str) -> list[float]:
    """When something was printed in which that is found."""
    return [line.time for line in server.lines if re.search(pattern, line.text)]


def cancel(server: Server, job: str, query: str = "") -> None:
    assert client.delete(f"{server.url}/jobs/{job}{query}").status_code == 202


def test_a_waiting_job_is_revoked(app: Server, settings: dict[str, str]):
    """A job that waits is `REVOKED` when a worker takes it, and not started."""
    with a_worker(settings) as worker:
        first, second = post(app, "/reports/2025"), post(app, "/reports/2026")
        worker.wait_for("2025, page 1")
        cancel(app, second)
        becomes(app, second, "REVOKED")
        worker.wait_for("2025 done")
        becomes(app, first, "SUCCESS")
        assert not printed(worker, "build_report: 2026")


def test_a_running_job_goes_on(app: Server, settings: dict[str, str]):
    """A job that runs goes on to its end, and is a `SUCCESS`."""
    with a_worker(settings) as worker:
        job = post(app, "/reports/2026")
        worker.wait_for("2026, page 1")
        cancel(app, job)
        worker.wait_for("Tasks flagged as revoked")
        worker.wait_for("2026 done")
        becomes(app, job, "SUCCESS")


def test_terminate_kills_the_process(app: Server, settings: dict[str, str]):
    """With `terminate=True` its process is killed: the job is `REVOKED`, is not started again, and a new process takes the next."""
    with a_worker(settings) as worker:
        killed = post(app, "/reports/2025")
        worker.wait_for("ForkPoolWorker-1.* 2025, page 1")
        cancel(app, killed, "?kill=true")
        becomes(app, killed, "REVOKED")
        becomes(app, post(app, "/reports/2026"), "SUCCESS")
        assert printed(worker, "ForkPoolWorker-2.* 2026 done")
        assert not printed(worker, "2025 done")
        assert len(printed(worker, "2025, page 1$")) == 1


def test_with_threads_terminate_does_nothing(app: Server, settings: dict[str, str]):
    """With `--pool threads` the worker prints a `NotImplementedError`, and the job goes on."""
    with a_worker(settings, APP, "--pool", "threads") as worker:
        job = post(app, "/reports/2026")
        worker.wait_for("2026, page 1")
        cancel(app, job, "?kill=true")
        worker.wait_for("NotImplementedError.*does not implement kill_job")
        worker.wait_for("2026 done")
        becomes(app, job, "SUCCESS")


def test_a_revocation_is_forgotten(app: Server, settings: dict[str, str]):
    """Revoked while no worker runs, a job is done by the worker that starts next."""
    job = post(app, "/reports/2026")
    cancel(app, job)
    with a_worker(settings):
        becomes(app, job, "SUCCESS")


def test_the_soft_limit_is_an_exception(settings: dict[str, str]):
    """After `soft_time_limit` the job gets a `SoftTimeLimitExceeded`, and tidies up. Raised again, it makes the job a `FAILURE`."""
    with (
        serve(TIME_LIMITS, env=settings) as app,
        a_worker(settings, TIME_LIMITS) as worker,
    ):
        worker.expect("SoftTimeLimitExceeded")
        job = post(app, "/reports/2026")
        worker.wait_for("build_report: 2026 takes too long")
        becomes(app, job, "FAILURE")
        assert state(app, job)["result"] == "SoftTimeLimitExceeded()"
        assert not printed(worker, "build_report: 2026 done")


def test_the_hard_limit_ends_the_process(settings: dict[str, str]):
    """After `time_limit` the job is a `FAILURE`, `TimeLimitExceeded`, and its process is ended: a `finally` begins, and is killed if it takes long. A new process takes the next job."""
    with (
        serve(TIME_LIMITS, env=settings) as app,
        a_worker(settings, TIME_LIMITS) as worker,
    ):
        worker.expect("TimeLimitExceeded|Hard time limit|SIGKILL")
        job = post(app, "/labels/2026")
        worker.wait_for("ForkPoolWorker-1.*print_labels: 2026 started")
        becomes(app, job, "FAILURE")
        assert state(app, job)["result"].startswith("TimeLimitExceeded")
        again = post(app, "/labels/2027")
        worker.wait_for("ForkPoolWorker-2.*print_labels: 2027 started")
        becomes(app, again, "FAILURE")
        assert printed(worker, "print_labels: 2026 tidying up")
        assert not printed(worker, "print_labels: .*(done|tidied up)")


def test_a_job_that_the_hard_limit_killed_is_not_tried_again(
    settings: dict[str, str], tmp_path: Path
):
    """It is not begun again, neither by late acknowledgement with `task_reject_on_worker_lost` nor by `autoretry_for`: nothing of the job is left that could raise."""
    retried = {
        "@queue.task(time_limit=1)": "@queue.task(time_limit=1, autoretry_for=[Exception], default_retry_delay=0)",
        "backend=BROKER)": "backend=BROKER)\nqueue.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)",
    }
    env = changed(settings, tmp_path, TIME_LIMITS, retried)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        worker.expect("TimeLimitExceeded|Hard time limit|SIGKILL")
        for year in (2026, 2027):
            job = post(app, f"/labels/{year}")
            becomes(app, job, "FAILURE")
        assert len(printed(worker, "print_labels: 2026 started")) == 1


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_have_no_limits(settings: dict[str, str], pool: str):
    """With `--pool threads` or `solo` neither limit does anything: both jobs are done."""
    with (
        serve(TIME_LIMITS, env=settings) as app,
        a_worker(settings, TIME_LIMITS, "--pool", pool),
    ):
        jobs = [post(app, "/reports/2026"), post(app, "/labels/2026")]
        for job in jobs:
            becomes(app, job, "SUCCESS")


def test_each_process_is_replaced(app: Server, settings: dict[str, str]):
    """With `--max-tasks-per-child 1` each job has a new process."""
    with a_worker(settings, APP, "--max-tasks-per-child", "1") as worker:
        for year in (1, 2):
            becomes(app, post(app, f"/reports/202{year}"), "SUCCESS")
            assert printed(worker, f"ForkPoolWorker-{year}.* 202{year} done")


def test_sigterm_waits_for_the_running_job(app: Server, settings: dict[str, str]):
    """`SIGTERM` is a warm shutdown: no new job is taken, the running one is done, however long that takes."""
    with a_worker(settings) as worker:
        jobs = [post(app, "/reports/2025"), post(app, "/reports/2026")]
        worker.wait_for("2025, page 1")
        assert worker.stop() == 0
        assert printed(worker, "Warm shutdown")
        assert printed(worker, "2025 done")
        assert not printed(worker, "build_report: 2026")
    assert [state(app, job)["status"] for job in jobs] == ["SUCCESS", "PENDING"]


def test_a_soft_shutdown_hands_the_job_to_the_next(
    app: Server, settings: dict[str, str]
):
    """With `REMAP_SIGTERM=SIGQUIT` and a soft shutdown of one second a job of three seconds is cut off, put back, and started again by the next worker, at once and not after the `visibility_timeout`."""
    with a_worker(settings | SOFT) as worker:
        job = post(app, "/reports/2026")
        worker.wait_for("2026, page 5$")
        assert worker.stop() == 0
        assert printed(worker, "Initiating Soft Shutdown, terminating in 1.0 seconds")
        assert printed(worker, "Restoring 1 unacknowledged message")
        assert not printed(worker, "2026 done")
    with a_worker(settings):
        becomes(app, job, "SUCCESS")


def test_it_waits_out_the_soft_shutdown(app: Server, settings: dict[str, str]):
    """With seven seconds for the soft shutdown the job is done, and not started again. The worker waits out the seven seconds nevertheless, and takes no other job."""
    with a_worker(settings | SOFT | {"SOFT_SHUTDOWN": "7"}) as worker:
        job, next_job = post(app, "/reports/2025"), post(app, "/reports/2026")
        worker.wait_for("2025, page 5$")
        stopped = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - stopped >= 7
        assert printed(worker, "2025 done")
        assert not printed(worker, "build_report: 2026")
    with a_worker(settings) as worker:
        becomes(app, next_job, "SUCCESS")
        assert not printed(worker, "build_report: 2025")
    assert state(app, job)["status"] == "SUCCESS"


def test_without_the_remap_there_is_no_soft_shutdown(
    app: Server, settings: dict[str, str]
):
    """Without `REMAP_SIGTERM` the same setting changes nothing: `SIGTERM` waits for the job."""
    with a_worker(settings | {"SOFT_SHUTDOWN": "1"}) as worker:
        post(app, "/reports/2026")
        worker.wait_for("2026, page 1$")
        assert worker.stop() == 0
        assert not printed(worker, "Soft Shutdown")
        assert printed(worker, "2026 done")


def test_a_delay_beyond_the_visibility_timeout_runs_again_and_again(
    settings: dict[str, str],
):
    """With a `visibility_timeout` of two seconds a reminder due in six is sent more than once, though nothing failed."""
    short = settings | {"VISIBILITY_TIMEOUT": "2"}
    with (
        serve(REMINDERS, env=settings) as app,
        a_worker(short, REMINDERS) as worker,
    ):
        post(app, "/reminders/7?seconds=6")
        worker.wait_for("remind: customer 7", nth=2)


def test_the_shortest_visibility_timeout_of_all_consumers_counts(
    settings: dict[str, str],
):
    """Your worker has a `visibility_timeout` of an hour, and took the reminder. Another consumer on the same Redis has two seconds, a worker for another queue here: it gives the reminder out once more, and it is sent twice."""
    short = settings | {"VISIBILITY_TIMEOUT": "2"}
    other = ("--queues", "other", "--hostname", "other@%h")
    with (
        serve(REMINDERS, env=settings) as app,
        a_worker(settings, REMINDERS) as worker,
    ):
        post(app, "/reminders/7?seconds=8")
        worker.wait_for("received")
        with a_worker(short, REMINDERS, *other):
            worker.wait_for("received", nth=2)
            worker.wait_for("remind: customer 7", nth=2)


def test_a_shorter_delay_runs_once(settings: dict[str, str]):
    """With a `visibility_timeout` of an hour it is sent once."""
    with (
        serve(REMINDERS, env=settings) as app,
        a_worker(settings, REMINDERS) as worker,
    ):
        post(app, "/reminders/7?seconds=4")
        worker.wait_for("remind: customer 7")
        post(app, "/reminders/8?seconds=1")
        worker.wait_for("remind: customer 8")
        assert len(printed(worker, "remind: customer 7")) == 1
        assert len(printed(worker, "received")) == 2


def test_so_does_a_retry_that_waits_longer(settings: dict[str, str], tmp_path: Path):
    """The wait of a retry is such a delay too: a job that may be retried once, after six seconds, is started three times or more."""
    retry = {
        "@queue.task\n": "@queue.task(autoretry_for=[KeyError], max_retries=1, default_retry_delay=6)\n",
        "    print(": "    print('remind: started', flush=True)\n    raise KeyError(",
        ", flush=True)\n\n\napp": ")\n\n\napp",
    }
    env = changed(settings, tmp_path, REMINDERS, retry)
    with (
        serve("changed:app", env=env) as app,
        a_worker(env | {"VISIBILITY_TIMEOUT": "2"}, "changed:app") as worker,
    ):
        worker.expect("KeyError")
        post(app, "/reminders/7?seconds=0")
        worker.wait_for("remind: started", nth=3)


ETA = "examples.celery_limits_and_stops.eta:app"


@pytest.mark.parametrize(
    ("zone", "seconds", "first"),
    [("America/New_York", 3600, "naive"), ("Asia/Tokyo", 2, "aware")],
)
def test_an_eta_without_a_zone_is_taken_for_utc(
    settings: dict[str, str], zone: str, seconds: int, first: str
):
    """In New York a reminder due in an hour, `eta=datetime.now() + …`, runs at once. In Tokyo one due in two seconds does not run; one with `datetime.now(UTC)` does."""
    env = settings | {"TZ": zone}
    with serve(ETA, env=env) as app, a_worker(env, ETA) as worker:
        for path in ("/aware", "/naive"):
            post(app, f"{path}?seconds={seconds}")
        worker.wait_for("received", nth=2)
        worker.wait_for(f"remind: {first}")
        assert len(printed(worker, "remind: ")) == 1


def a_beat(
    settings: dict[str, str], file: Path, target: str = DUE_ROWS
) -> AbstractContextManager[Server]:
    command = (*PYTHON, "celery", "--app", target.replace(":app", ".queue"))
    options = ("beat", "--schedule", str(file), "--loglevel", "INFO")
    return start((*command, *options), env=settings, ready="beat: Starting")


def test_a_row_that_is_due_is_sent_once(settings: dict[str, str], tmp_path: Path):
    """Two beats, by mistake, make twice as many jobs, and two processes look at once: each reminder is sent once, and none before it is due."""
    with (
        serve(DUE_ROWS, env=settings) as app,
        a_worker(settings, DUE_ROWS, "--concurrency", "2") as worker,
        a_beat(settings, tmp_path / "first") as first,
        a_beat(settings, tmp_path / "second") as second,
    ):
        for customer in range(1, 11):
            post(app, f"/reminders/{customer}?seconds=2")
        post(app, "/reminders/99?seconds=1000")
        worker.wait_for("send_due: customer", nth=10)
        sent = [len(printed(beat, "Sending due task")) for beat in (first, second)]
        for beat, so_far in zip((first, second), sent, strict=True):
            beat.wait_for("Sending due task", nth=so_far + 2)
        worker.wait_for("received", nth=sum(sent) + 2)
        assert len(printed(worker, "send_due: customer")) == 10
        assert not printed(worker, "customer 99")


def test_a_worker_killed_while_it_sends_leaves_the_row(
    settings: dict[str, str], tmp_path: Path
):
    """The row is deleted when the mail is sent. That of a worker killed while it sends is due again when its lease is over, here two seconds."""
    settings = {**settings, "LEASE": "2"}
    hang = {"  # a mail, in no transaction\n": "\n        time.sleep(600)\n"}
    env = changed(settings, tmp_path, DUE_ROWS, hang)
    with serve(DUE_ROWS, env=settings) as app:
        post(app, "/reminders/7?seconds=0")
        with (
            a_beat(env, tmp_path / "first", "changed:app"),
            a_worker(env, "changed:app") as first,
        ):
            first.wait_for("send_due: customer 7")
            first.kill()
        with (
            a_beat(settings, tmp_path / "second"),
            a_worker(settings, DUE_ROWS) as second,
        ):
            second.expect("unregistered task of type 'changed.send_due'")
            second.wait_for("send_due: customer 7")


EARLY = {
    '    "task_acks_late": True,\n': "",
    '    "task_reject_on_worker_lost": True,\n': "",
    '    "worker_prefetch_multiplier": 1,\n': "",
}
EARLY_BUT_ONE = {line: "" for line in EARLY if "multiplier" not in line}
SECOND = ("--hostname", "celery@second")
EXPIRES = "examples.celery_limits_and_stops.expires:app"
PRIORITIES = "examples.celery_limits_and_stops.priorities:app"


URGENT_LAST = ("/reports/2", "/reports/3", "/reports/4?priority=0")


def order_of_four(
    env: dict[str, str], target: str, paths: tuple[str, ...] = URGENT_LAST
) -> list[str]:
    """While the first report is built three more are asked for: the order in which they begin."""
    with serve(target, env=env) as app, a_worker(env, target) as worker:
        post(app, "/reports/1")
        worker.wait_for("build_report: 1 started")
        for path in paths:
            post(app, path)
        worker.wait_for("build_report: . started", nth=4)
        said = "\n".join(line.text for line in worker.lines)
        return re.findall(r"build_report: (.) started", said)


def test_an_urgent_job_overtakes_those_that_wait_in_redis(settings: dict[str, str]):
    """With late acknowledgement and `worker_prefetch_multiplier=1` an urgent job, on Redis `priority=0`, begins before two that were sent earlier with 9."""
    assert order_of_four(settings, PRIORITIES) == ["1", "4", "2", "3"]


def test_on_redis_there_are_four_priorities_and_a_job_without_one_is_urgent(
    settings: dict[str, str], tmp_path: Path
):
    """On Redis only 0, 3, 6 and 9 differ: 4 is as urgent as 3. A job that is sent without a priority has 0, and begins before both."""
    without = {"priority=priority)": "priority=priority if priority < 9 else None)"}
    env = changed(settings, tmp_path, PRIORITIES, without)
    paths = ("/reports/2?priority=4", "/reports/3?priority=3", "/reports/4")
    assert order_of_four(env, "changed:app", paths) == ["1", "4", "2", "3"]


def test_a_priority_does_nothing_to_what_a_worker_has_taken(
    settings: dict[str, str], tmp_path: Path
):
    """With the defaults it has no effect: the worker has taken the two already."""
    early = {
        "    task_acks_late=True,\n": "",
        "    worker_prefetch_multiplier=1,\n": "",
    }
    env = changed(settings, tmp_path, PRIORITIES, early)
    assert order_of_four(env, "changed:app") == ["1", "2", "3", "4"]


@pytest.mark.parametrize(("changes", "reserved"), [(EARLY, 2), (EARLY_BUT_ONE, 1)])
def test_a_worker_reserves_jobs_that_wait(
    changes: dict[str, str], reserved: int, settings: dict[str, str], tmp_path: Path
):
    """With the defaults a worker with one process reserves the jobs behind the one that it runs; with `worker_prefetch_multiplier=1` alone, one. A second worker, which has nothing to do, does not get them. `-O fair` changes nothing between workers."""
    env = changed(settings, tmp_path, APP, changes)
    with (
        serve("changed:app", env=env) as app,
        a_worker(env, "changed:app", "-O", "fair") as first,
    ):
        jobs = [post(app, f"/reports/202{number}") for number in range(1 + reserved)]
        first.wait_for("received", nth=1 + reserved)
        with a_worker(env, "changed:app", *SECOND) as second:
            for job in jobs:
                becomes(app, job, "SUCCESS")
            assert len(printed(first, "build_report: .* done")) == 1 + reserved
            assert not printed(second, "received")


def test_with_these_settings_nothing_is_reserved(app: Server, settings: dict[str, str]):
    """With both settings of the first example, `task_acks_late` and `worker_prefetch_multiplier=1`, each of two workers takes one of four jobs, and the next when that is done."""
    with a_worker(settings) as first, a_worker(settings, APP, *SECOND) as second:
        jobs = [post(app, f"/reports/202{number}") for number in range(4)]
        for worker in (first, second):
            worker.wait_for("build_report: .* page 20$")
            assert len(printed(worker, "received")) == 1
        for job in jobs:
            becomes(app, job, "SUCCESS")


def kill_its_process(worker: Server) -> None:
    """As the kernel does when memory is short: the process that runs the job."""
    for process in psutil.Process(worker.process.pid).children(recursive=True):
        process.kill()


def test_acks_late_alone_loses_what_a_killed_process_ran(
    settings: dict[str, str], tmp_path: Path
):
    """The process of a job is killed, as it is when memory is short. With `task_acks_late` alone the job is a `FAILURE`, `WorkerLostError`, and is gone."""
    alone = {'    "task_reject_on_worker_lost": True,\n': ""}
    env = changed(settings, tmp_path, APP, alone)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        worker.expect("SIGKILL")
        job = post(app, "/reports/2026")
        worker.wait_for("2026, page 2$")
        kill_its_process(worker)
        worker.wait_for("WorkerLostError")
        becomes(app, job, "FAILURE")
        becomes(app, post(app, "/reports/2027"), "SUCCESS")
        assert len(printed(worker, "2026, page 1$")) == 1


def test_with_reject_on_worker_lost_it_runs_again(
    app: Server, settings: dict[str, str]
):
    """With `task_reject_on_worker_lost` as well, the next process runs it from its beginning."""
    with a_worker(settings) as worker:
        worker.expect("SIGKILL")
        job = post(app, "/reports/2026")
        worker.wait_for("2026, page 2$")
        kill_its_process(worker)
        worker.wait_for("2026, page 1$", nth=2)
        becomes(app, job, "SUCCESS")


def test_acks_late_is_no_retry(settings: dict[str, str], tmp_path: Path):
    """A job that raises is a `FAILURE` and is not started again, `task_acks_late` or not."""
    fail = {"time.sleep(0.1)": "raise ValueError"}
    env = changed(settings, tmp_path, APP, fail)
    with serve("changed:app", env=env) as app, a_worker(env, "changed:app") as worker:
        worker.expect("ValueError")
        failed, following = post(app, "/reports/2025"), post(app, "/reports/2026")
        becomes(app, failed, "FAILURE")
        becomes(app, following, "FAILURE")
        assert len(printed(worker, "build_report: 2025, page 1")) == 1


def seconds_of_eight(settings: dict[str, str], *names: str) -> float:
    """How long workers of these names take from the first message to the last."""
    with ExitStack() as stack:
        app = stack.enter_context(serve(RATE_LIMIT, env=settings))
        workers = [
            stack.enter_context(
                a_worker(settings, RATE_LIMIT, "--hostname", f"celery@{name}")
            )
            for name in names
        ]
        for number in range(8):
            post(app, f"/sms/{number}")
        times = ask_until(
            lambda: [t for worker in workers for t in printed(worker, "send_sms: ")],
            lambda times: len(times) == 8,
            60,
        )
    return max(times) - min(times)


def test_a_job_that_is_taken_up_too_late_is_dropped(settings: dict[str, str]):
    """No worker runs for longer than the first job may wait. The worker that starts then drops it, with a line in its log, and runs the other."""
    with serve(EXPIRES, env=settings) as app:
        post(app, "/offers/1?seconds=0.5")
        post(app, "/offers/2")
        time.sleep(1)
        with a_worker(settings, EXPIRES) as worker:
            worker.wait_for("Discarding revoked task")
            worker.wait_for("send_offer: 2")
            assert not printed(worker, "send_offer: 1")


def test_two_workers_send_more_than_the_limit(settings: dict[str, str]):
    """With `rate_limit="2/s"` one worker takes more than three seconds from the first of eight messages to the last. Two workers are quicker: each counts its own."""
    one = seconds_of_eight(settings, "first")
    assert one > 3
    assert seconds_of_eight(settings, "first", "second") < one * 0.8
