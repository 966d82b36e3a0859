"""The statements of docs/dbos.md."""

import inspect
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest

from bench.trial import Receipts
from runner import Server, client, serve
from runner.needs import needs_of
from tests.copying import changed
from tests.orders import ask_until, state
from tests.services import skip_without
from tests.terminal import positions

WORKFLOWS = "examples.dbos.workflows:app"
Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture
def dbos(tmp_path: Path) -> Start:
    """Starts the app with DBOS on this test's database."""
    skip_without(needs_of(WORKFLOWS))

    def start(**more: str) -> AbstractContextManager[Server]:
        return serve(WORKFLOWS, env={"DATABASE": str(tmp_path / "db"), **more})

    return start


def copied(folder: Path, changes: dict[str, str]) -> dict[str, str]:
    """A copy with these changes, the module `changed`; the settings for it, on this test's database."""
    skip_without(needs_of(WORKFLOWS))
    return changed({"DATABASE": str(folder / "db")}, folder, WORKFLOWS, changes)


def until(server: Server, number: int, status: str) -> dict[str, object]:
    ask = partial(state, server, f"order-{number}")
    return ask_until(ask, lambda job: job["status"] == status, 60)


def begin_and_be_killed(dbos: Start) -> None:
    """A process that is killed in the second step of order 7."""
    with dbos() as server:
        assert client.post(f"{server.url}/orders/7/slow").json() == {"job": "order-7"}
        server.wait_for("send_receipt: order 7 started")
        server.stop(signal.SIGKILL)


def leaves_what_was_killed(server: Server) -> None:
    """It does order 8, and order 7 still waits."""
    client.post(f"{server.url}/orders/8/tea")
    until(server, 8, "SUCCESS")
    assert until(server, 7, "PENDING")


@pytest.mark.slow
def test_a_workflow_goes_on_behind_its_last_finished_step(dbos: Start):
    """The process is killed in the second of two steps. The next process runs the second step again, but not the first."""
    begin_and_be_killed(dbos)
    with dbos() as server:
        server.wait_for("send_receipt: order 7 done")
        until(server, 7, "SUCCESS")
        assert not any("reserve" in line.text for line in server.lines)
        assert client.get(f"{server.url}/jobs/none").status_code == 404


@pytest.mark.slow
def test_a_step_that_fails_is_tried_three_times(dbos: Start):
    """A step with `retries_allowed` is tried three times, then the workflow is `ERROR`. The cause is in the log only."""
    with dbos() as server:
        server.expect("refused the connection|exceeded its maximum of 3 retries")
        client.post(f"{server.url}/orders/7/refused")
        server.wait_for("send_receipt: order 7 started", nth=3)
        job = until(server, 7, "ERROR")
    assert "exceeded its maximum of 3 retries" in str(job["error"])


@pytest.mark.slow
def test_another_executor_id_does_not_take_over(dbos: Start):
    """What ran in a killed process waits until a process with its `executor_id` starts."""
    begin_and_be_killed(dbos)
    with dbos(EXECUTOR="2") as server:
        leaves_what_was_killed(server)
        server.stop()
    with dbos() as server:
        server.wait_for("send_receipt: order 7 done")


TAKEN_OVER = {
    "app = FastAPI(lifespan=lifespan)\n": """app = FastAPI(lifespan=lifespan)


@app.post("/take-over")
async def take_over() -> list[str]:
    pending = await DBOS.list_workflows_async(status="PENDING")
    for workflow in pending:
        await DBOS.resume_workflow_async(workflow.workflow_id)
    return [workflow.workflow_id for workflow in pending]
"""
}


@pytest.mark.slow
def test_what_stays_pending_can_be_listed_and_resumed(dbos: Start, tmp_path: Path):
    """DBOS looks for what was interrupted once, when a process starts, under its own id and version. What stays `PENDING` after that is found with `DBOS.list_workflows(status="PENDING")`, and `DBOS.resume_workflow(…)` has it go on in another process."""
    begin_and_be_killed(dbos)
    env = copied(tmp_path, TAKEN_OVER) | {"EXECUTOR": "2"}
    with serve("changed:app", env=env) as app:
        leaves_what_was_killed(app)
        assert client.post(f"{app.url}/take-over").json() == ["order-7"]
        app.wait_for("send_receipt: order 7 done")


@pytest.mark.slow
def test_two_processes_with_the_same_executor_id_run_a_job_twice(dbos: Start):
    """A second process with the same id, as with `--workers 2` or in a rolling deploy, takes the running job of the first one for its own and puts it back into the queue. One of the two starts it again while it runs."""
    with dbos() as first:
        client.post(f"{first.url}/orders/7/slow")
        first.wait_for("send_receipt: order 7 started")
        with dbos() as second:
            until(second, 7, "SUCCESS")
            assert Receipts().said([first, second], "started") == {7: 2}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "at_once"),
    [("worker_concurrency=1", True), ("global_concurrency=1", False)],
)
def test_worker_concurrency_is_of_each_process_and_global_concurrency_of_all(
    limit: str, at_once: bool, tmp_path: Path
):
    """`worker_concurrency=1` is one workflow at a time in each process: two processes run two. `global_concurrency=1` is one in all of them."""
    changes = {"worker_concurrency=10": limit, "8 if": f"{8 if at_once else 1} if"}
    env = copied(tmp_path, changes)
    with (
        serve("changed:app", env=env) as first,
        serve("changed:app", env=env | {"EXECUTOR": "2"}) as second,
    ):
        for number in (7, 8):
            client.post(f"{first.url}/orders/{number}/slow")
        for number in (7, 8):
            until(first, number, "SUCCESS")
        lines = [line for server in (first, second) for line in server.lines]
    told = sorted(
        (line for line in lines if "receipt" in line.text), key=attrgetter("time")
    )
    assert len(told) == 4
    assert ("started" in told[1].text) == at_once


@pytest.mark.slow
def test_another_application_version_leaves_the_queue_of_the_old_one(dbos: Start):
    """Version 2 runs its own jobs, and none of version 1."""
    begin_and_be_killed(dbos)
    with dbos(VERSION="2") as server:
        leaves_what_was_killed(server)


@pytest.mark.slow
def test_without_the_setting_each_change_of_a_workflow_is_another_version(
    tmp_path: Path,
):
    """Without the setting the version is a hash of the workflows' code: each change of it leaves the old jobs behind, `PENDING`."""
    unset = {'    "application_version": VERSION,\n': ""}
    other = {"    await reserve(item, order_id)\n": "    print(order_id)\n"}
    with serve("changed:app", env=copied(tmp_path, unset)) as old:
        client.post(f"{old.url}/orders/7/slow")
        old.wait_for("send_receipt: order 7 started")
        old.stop(signal.SIGKILL)
    with serve("changed:app", env=copied(tmp_path, unset | other)) as new:
        leaves_what_was_killed(new)


@pytest.mark.slow
def test_a_clean_stop_waits_for_the_workflow_that_runs(dbos: Start):
    """`SIGTERM` lets a workflow that runs come to its end, for as long as `destroy` is told to wait."""
    with dbos() as server:
        client.post(f"{server.url}/orders/7/slow")
        server.wait_for("send_receipt: order 7 started")
        server.stop()
        assert any("order 7 done" in line.text for line in server.lines)


@pytest.mark.slow
def test_by_default_a_queue_is_looked_at_once_a_second():
    """`polling_interval_sec` is 1.0 if nothing is said."""
    from dbos import DBOS  # takes a second to import

    parameters = inspect.signature(DBOS.register_queue_async).parameters
    assert parameters["polling_interval_sec"].default == 1.0


@pytest.mark.slow
def test_from_python_3_12_on_dbos_needs_sqlite_3_42():
    """From Python 3.12 on DBOS asks SQLite for `unixepoch('subsec')`, which is `NULL` before SQLite 3.42."""
    from dbos._migration import get_sqlite_timestamp_expr

    asks = "unixepoch('subsec')" in get_sqlite_timestamp_expr()
    assert asks == (sys.version_info >= (3, 12))
    with closing(sqlite3.connect(":memory:")) as database:
        [(milliseconds,)] = database.execute("select unixepoch('subsec')")
    assert (milliseconds is None) == (sqlite3.sqlite_version_info < (3, 42))


TWO_STEPS = """    await reserve(item, order_id)
    await send_receipt(order_id, item)
"""
SIDE_BY_SIDE = """    await asyncio.gather(send_receipt(order_id, "a"), reserve("b", order_id))
    await send_receipt(order_id, item)
"""
CHAINS = """
    async def send_two() -> None:
        await send_receipt(order_id, "a")
        await send_receipt(order_id, "b")

    async def reserve_many() -> None:
        for _ in range(20):
            await reserve("c", order_id)

    await asyncio.gather(send_two(), reserve_many())
    await send_receipt(order_id, item)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "mails", "status"), [(SIDE_BY_SIDE, 2, "SUCCESS"), (CHAINS, 3, "ERROR")]
)
def test_side_by_side_single_steps_go_on_and_chains_of_steps_do_not(
    steps: str, mails: int, status: str, tmp_path: Path
):
    """After a kill a workflow goes on after an `asyncio.gather` of two steps as it should. The steps of two functions in a `gather`, each with several, come in another order than before the kill: `DBOSUnexpectedStepError`, and the workflow is `ERROR`. Run such functions one after another, or as workflows of their own."""
    changes = {TWO_STEPS: steps, "else 0.05": "else 1", "(8 if": "(4 if"}
    env = copied(tmp_path, changes)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/orders/7/slow")
        server.wait_for("send_receipt: order 7 started", nth=mails)
        server.stop(signal.SIGKILL)
    with serve("changed:app", env=env) as server:
        server.expect("DBOSUnexpectedStepError")
        job = until(server, 7, status)
        assert ("DBOSUnexpectedStepError" in str(job["error"])) == (status == "ERROR")
        if status == "SUCCESS":
            assert "reserve" not in server.transcript()


AS_WORKFLOWS = """    handles = [
        await DBOS.start_workflow_async(send_two, order_id),
        await DBOS.start_workflow_async(reserve_many, order_id),
    ]
    for handle in handles:
        await handle.get_result()
    await send_receipt(order_id, item)


@DBOS.workflow()
async def send_two(order_id: int) -> None:
    await send_receipt(order_id, "a")
    await send_receipt(order_id, "b")


@DBOS.workflow()
async def reserve_many(order_id: int) -> None:
    for _ in range(20):
        await reserve("c", order_id)
"""


@pytest.mark.slow
def test_chains_of_steps_as_workflows_of_their_own_go_on_side_by_side(tmp_path: Path):
    """Each such function as a workflow of its own, begun with `DBOS.start_workflow_async(…)`: after the kill each goes on after its own last step, and the order of the two does not matter."""
    changes = {TWO_STEPS: AS_WORKFLOWS, "else 0.05": "else 3"}
    env = copied(tmp_path, changes)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/orders/7/tea")
        server.wait_for("send_receipt: order 7 started", nth=2)
        server.stop(signal.SIGKILL)
        reserved = server.transcript().count("reserve: ")
    with serve("changed:app", env=env) as server:
        until(server, 7, "SUCCESS")
        printed = server.transcript()
    assert printed.count("send_receipt: order 7 done") == 2
    assert printed.count("reserve: ") <= 21 - reserved


DEADLY = {
    "import asyncio\n": "import asyncio\nimport signal\n",
    '    if item == "refused":': '    if item == "deadly":\n        os.kill(os.getpid(), signal.SIGKILL)\n    if item == "refused":',
}


@pytest.mark.slow
def test_a_workflow_that_kills_its_process_is_begun_again_a_hundred_times(
    tmp_path: Path,
):
    """A workflow that takes its process with it, as one that needs too much memory does, is begun again at the next start: a hundred times, and then it is `MAX_RECOVERY_ATTEMPTS_EXCEEDED`. `@DBOS.workflow(max_recovery_attempts=2)` has it begun again twice."""
    from dbos import DBOS  # takes a second to import

    parameters = inspect.signature(DBOS.workflow).parameters
    assert parameters["max_recovery_attempts"].default == 100
    few = {"@DBOS.workflow()": "@DBOS.workflow(max_recovery_attempts=2)"}
    env = copied(tmp_path, DEADLY | few)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/orders/7/deadly")
        server.wait()
    for _ in range(2):
        with serve("changed:app", env=env) as server:
            server.wait_for("send_receipt: order 7 started")
            server.wait()
    with serve("changed:app", env=env) as server:
        server.expect("has exceeded its maximum of 2 execution or recovery attempts")
        until(server, 7, "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


@pytest.mark.slow
@pytest.mark.parametrize(("workflow", "waits"), [("async def", True), ("def", False)])
def test_a_def_step_of_an_async_workflow_blocks_the_event_loop(
    workflow: str, waits: bool, tmp_path: Path
):
    """A `def` step runs where its workflow runs. In an `async def` workflow that is the app's event loop: a step that computes or sleeps holds up every request. A `def` workflow has a thread of DBOS's, and requests are answered."""
    changes = {
        TWO_STEPS: "    compute(order_id)\n",
        "async def fulfil": f"{workflow} fulfil",
        "@DBOS.workflow()": """@DBOS.step()
def compute(order_id: int) -> None:
    print(f"compute: order {order_id} started", flush=True)
    time.sleep(5)
    print(f"compute: order {order_id} done", flush=True)


@DBOS.workflow()""",
        "import asyncio\n": "import asyncio\nimport time\n",
    }
    env = copied(tmp_path, changes)
    with serve("changed:app", env=env) as server:
        client.post(f"{server.url}/orders/7/tea")
        server.wait_for("compute: order 7 started")
        client.get(f"{server.url}/openapi.json")
        done, answered = positions(server, "compute: order 7 done", "GET /openapi")
    assert (done < answered) == waits
