"""The statements of docs/workers.md; its table is tested cell by cell."""

import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM, SIGTTIN, SIGTTOU

import httpx
import pytest
from uvicorn import Config

from runner import Server, client, new_client, serve
from runner.needs import NEEDS, start_worker
from runner.process import PYTHON, start
from tests.copying import changed, save_until, with_changes
from tests.orders import place
from tests.services import settings_of
from tests.terminal import positions
from tests.what_is_left import (
    TARGET,
    Cell,
    Row,
    cells,
    change_the_file,
    on_a_copy,
    signals,
    two_workers,
    uvicorn,
    what_became_of_it,
    worker_of,
)

READY = "Application startup complete"


def with_reload(folder: Path, *options: str) -> AbstractContextManager[Server]:
    return on_a_copy(folder, "--reload", *options)


def restart_each(server: Server, _: Path) -> None:
    """Have the workers replaced, and wait for the end of the one at work."""
    server.process.send_signal(SIGHUP)
    server.wait_for(rf"Finished server process \[{worker_of(server)}\]", timeout=60)


ROWS = {
    "`--workers 2`, `SIGTERM` to the first process": Row(
        two_workers, signals(SIGTERM), 1
    ),
    "`--workers 2`, `SIGHUP` to the first process": Row(two_workers, restart_each, 1),
    "`--reload`, and a file is changed": Row(
        with_reload, change_the_file, 2, needs_folder=True
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells("workers"), ids=str)
def test_each_cell_of_the_table(cell: Cell, tmp_path: Path):
    """Each cell of the table: a server of its own, the work begun, the signal sent, and what was printed until the process had ended."""
    cell.check(ROWS[cell.row], tmp_path)


def test_reload_waits_for_the_task_and_nobody_answers_meanwhile(tmp_path: Path):
    """With `--reload` a changed file starts no new server while a task runs: the old one says `Waiting for background tasks to complete. (CTRL+C to force quit)`. A request that comes in between waits for both."""
    with with_reload(tmp_path) as server:
        client.post(f"{server.url}/async-def/5")
        server.wait_for("work: started")
        with ThreadPoolExecutor(1) as thread:
            changed = thread.submit(change_the_file, server, tmp_path)
            server.wait_for("Shutting down")
            answer = client.get(f"{server.url}/openapi.json", timeout=60)
            changed.result()
        server.wait_for("GET /openapi.json")
        waits, done, ended, answered = positions(
            server,
            "Waiting for background tasks to complete. (CTRL+C to force quit)",
            "work: done",
            "Finished server process",
            "GET /openapi.json",
        )
        started = server.wait_for("Started server process", nth=2)
    assert answer.status_code == 200
    assert waits < done < ended < answered
    assert server.lines.index(started) > ended


@pytest.mark.slow
def test_with_a_limit_a_reload_cancels_the_tasks(tmp_path: Path):
    """With `--timeout-graceful-shutdown 1` the old server cancels an `async def` task after a second, and the new one starts."""
    with with_reload(tmp_path, "--timeout-graceful-shutdown", "1") as server:
        server.expect("timeout graceful shutdown exceeded")
        client.post(f"{server.url}/async-def/60")
        server.wait_for("work: started")
        change_the_file(server, tmp_path)
        assert what_became_of_it(server) == "cancelled"


def developed(queue: str, folder: Path) -> dict[str, str]:
    """A copy of the queue's example, `changed.py`, in a folder of its own; the settings for it."""
    target = f"examples.{queue}.receipts:app"
    return changed(settings_of(target, folder), folder, target, {})


def edit(folder: Path) -> Path:
    """Have the job say `sent` where it said `done`; the changed file."""
    file = folder / "changed.py"
    file.write_text(with_changes(file.read_text(), {"} done": "} sent"}))
    return file


@pytest.mark.slow
@pytest.mark.queues
@pytest.mark.parametrize("queue", ["celery", "arq"])
def test_watchfiles_restarts_a_worker_when_the_code_changes(queue: str, tmp_path: Path):
    """`watchfiles 'celery --app main.queue worker' .`, and the same with arq's command: a file is saved, the worker is started again, and the next job runs the new code."""
    env = developed(queue, tmp_path)
    command = shlex.join((*PYTHON, *NEEDS[queue].worker))
    needs = replace(NEEDS[queue], worker=("watchfiles", command, str(tmp_path)))
    with (
        serve("changed:app", env=env) as app,
        start_worker(needs, "changed", env) as worker,
    ):
        place(app, 1)
        worker.wait_for("order 1 done")
        save_until(worker, "Warm shutdown|shutdown on SIGINT", edit(tmp_path))
        place(app, 2)
        worker.wait_for("order 2 sent")


@pytest.mark.slow
@pytest.mark.queues
def test_arq_with_watch_starts_again_with_the_old_code(tmp_path: Path):
    """`arq --watch .` prints `files changed, reloading arq worker...`, and the next job runs the old code: the module is not imported again."""
    env = developed("arq", tmp_path)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["arq"], "changed", env, "--watch", str(tmp_path)) as worker,
    ):
        save_until(worker, "files changed, reloading arq worker", edit(tmp_path))
        worker.wait_for("Starting worker", nth=2)
        place(app, 1)
        worker.wait_for("order 1 (done|sent)")
        assert "order 1 done" in worker.transcript()


@pytest.mark.slow
@pytest.mark.queues
def test_rq_runs_the_new_code_without_a_restart(tmp_path: Path):
    """An RQ worker imports the module in the process of each job: the next job runs the new code, and nothing is started again."""
    env = developed("rq", tmp_path)
    with (
        serve("changed:app", env=env) as app,
        start_worker(NEEDS["rq"], "changed", env) as worker,
    ):
        place(app, 1)
        worker.wait_for("order 1 done")
        edit(tmp_path)
        place(app, 2)
        worker.wait_for("order 2 sent")


@pytest.mark.slow
@pytest.mark.long
def test_with_workers_one_that_has_had_its_requests_is_replaced():
    """`--limit-max-requests` ends the process. Without `--workers` nobody starts it again; with `--workers 2` uvicorn starts another worker."""
    alone = (*PYTHON, "uvicorn", TARGET, "--port", "0", "--limit-max-requests", "1")
    with start(alone) as server:
        client.get(f"{server.url}/openapi.json")
        assert server.wait() == 0
    with two_workers("--limit-max-requests", "1") as server:
        client.get(f"{server.url}/openapi.json")
        server.wait_for(READY, nth=3, timeout=60)
        assert client.get(f"{server.url}/openapi.json").status_code == 200


@pytest.mark.slow
@pytest.mark.long
def test_a_killed_worker_is_replaced_and_its_tasks_are_lost():
    """The worker is killed, as it is when memory is short: uvicorn says `Child process died` and starts another. The tasks of that worker are lost."""
    with two_workers() as server:
        client.post(f"{server.url}/async-def/60")
        os.kill(worker_of(server), SIGKILL)
        server.wait_for(r"Child process \[\d+\] died", timeout=60)
        server.wait_for(READY, nth=3)
        assert client.get(f"{server.url}/openapi.json").status_code == 200
        assert what_became_of_it(server) == "lost"


@pytest.mark.slow
def test_a_worker_that_cannot_start_ends_the_first_process_too(tmp_path: Path):
    """A worker whose lifespan fails is not started again and again: uvicorn says `failed to start, stopping the parent process`, and ends. It exits with 0, so what is restarted only on failure is not."""
    fails = {"    yield\n    print": "    raise ConnectionError\n    yield\n    print"}
    env = changed({}, tmp_path, TARGET, fails) | {"PATH": os.environ["PATH"]}
    command = (*PYTHON, "uvicorn", "changed:app", "--workers", "2", "--port", "0")
    ended = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=240
    )
    assert "failed to start, stopping the parent process." in ended.stderr
    assert ended.returncode == 0


@pytest.mark.slow
def test_a_killed_child_of_reload_is_not_replaced(tmp_path: Path):
    """With `--reload` nobody starts the killed process again: uvicorn goes on, the container stays up, and nobody answers until a file is changed."""
    with with_reload(tmp_path) as server:
        client.post(f"{server.url}/async-def/60")
        os.kill(worker_of(server), SIGKILL)
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/openapi.json", timeout=5)
        assert server.process.poll() is None
        change_the_file(server, tmp_path)


@pytest.mark.slow
def test_sighup_replaces_one_worker_after_the_other_by_the_new_code(tmp_path: Path):
    """After `kill -HUP` each worker is replaced, one after the other: the new one, which has the new code, answers before the old one is told to stop."""
    with on_a_copy(tmp_path, "--workers", "2") as server:
        file = tmp_path / "main.py"
        file.write_text(with_changes(file.read_text(), {"work: done": "work: sent"}))
        server.process.send_signal(SIGHUP)
        server.wait_for("Finished server process", nth=2, timeout=60)
        client.post(f"{server.url}/async-def/0")
        server.wait_for("work: sent")
        told = [x.text for x in server.lines if READY in x.text or "Shutting" in x.text]
    assert [READY in text for text in told[2:]] == [True, False, True, False]


@pytest.mark.slow
def test_while_an_old_worker_has_tasks_the_first_process_does_nothing_else():
    """It waits for the tasks of the old worker, without a limit of its own, and hears nothing else meanwhile: a `SIGTERM` waits as well."""
    with two_workers() as server:
        with new_client() as kept:
            for _ in range(2):
                client.post(f"{server.url}/async-def/5")
                kept.post(f"{server.url}/async-def/5")
        server.process.send_signal(SIGHUP)
        server.wait_for("Waiting for child process", timeout=60)
        server.process.send_signal(SIGTERM)
        server.wait()
        done, told = positions(server, "work: done", "Received SIGTERM")
    assert done < told


@pytest.mark.slow
def test_a_worker_that_starts_too_slowly_ends_the_restart(tmp_path: Path):
    """A new worker that is not ready within `--timeout-worker-healthcheck`, five seconds by default, is killed, `was not ready in time`, and the old ones stay. An app that loads a model at its start wants more."""
    assert Config(TARGET).timeout_worker_healthcheck == 5
    slow = {"    yield\n": "    await asyncio.sleep(START)\n    yield\n"}
    slow["held: set"] = 'START = float(os.environ["START"])\nheld: set'
    env = changed({"START": "3"}, tmp_path, TARGET, slow)
    options = ("--workers", "2", "--timeout-worker-healthcheck", "1")
    with serve("changed:app", *options, env=env) as server:
        server.expect("was not ready in time")
        server.process.send_signal(SIGHUP)
        server.wait_for("was not ready in time; keeping worker .* aborting the restart")
        assert client.get(f"{server.url}/openapi.json").status_code == 200


@pytest.mark.slow
def test_without_workers_sighup_ends_the_process_and_its_tasks():
    """Without `--workers` nobody handles `SIGHUP`: the process ends at once, and what runs is lost. A terminal that is closed sends it too: start with `nohup`, or as a service."""
    with uvicorn() as server:
        client.post(f"{server.url}/async-def/60")
        server.wait_for("work: started")
        server.process.send_signal(SIGHUP)
        assert server.wait() == -SIGHUP
        assert what_became_of_it(server) == "lost"


@pytest.mark.slow
def test_ttin_starts_a_worker_and_ttou_ends_the_youngest():
    """`kill -TTIN` starts one more worker, `kill -TTOU` ends the one that was started last."""
    with two_workers() as server:
        server.process.send_signal(SIGTTIN)
        server.wait_for(READY, nth=3)
        youngest = [x for x in server.lines if "Started server" in x.text][-1].text
        server.process.send_signal(SIGTTOU)
        ended = server.wait_for("Finished server process").text
    assert ended.split("[")[1] == youngest.split("[")[1]


@pytest.mark.slow
def test_when_the_first_process_is_killed_the_workers_go_on_and_keep_the_port():
    """When the first process is killed, its workers and their tasks go on. Nobody replaces them, nobody stops them, and the next start ends with `[Errno 98] … address already in use`."""
    with two_workers() as server:
        client.post(f"{server.url}/async-def/1")
        server.wait_for("work: started")
        os.kill(server.process.pid, SIGKILL)
        server.wait_for("work: done")
        again = (*PYTHON, "uvicorn", TARGET, "--port", str(server.address[1]))
        ended = subprocess.run(again, capture_output=True, text=True, timeout=60)
        assert client.get(f"{server.url}/openapi.json").status_code == 200
    assert ended.returncode == 3
    assert re.search(r"\[Errno 98\] .* address already in use", ended.stderr)


@pytest.mark.slow
def test_workers_that_watch_the_first_process_end_with_it():
    """With this lifespan they end as after a `SIGTERM`: their tasks come to their end, and the port is free."""
    with serve("examples.workers.end_with_the_first:app", "--workers", "2") as server:
        client.post(f"{server.url}/reports/1")
        server.wait_for("build_report: 1 started")
        os.kill(server.process.pid, SIGKILL)
        server.wait_for("build_report: 1 done")
        server.wait_for("Finished server process", nth=2)
        with uvicorn("--port", str(server.address[1])) as again:
            assert again.url == server.url


@pytest.mark.slow
def test_a_kept_connection_stays_with_its_worker():
    """The requests of one connection go to one worker, a proxy's too, and so do their tasks. If one of these blocks the event loop, the others on that connection wait, while a new connection is answered by another worker."""
    with two_workers() as server, new_client() as kept:
        for _ in range(4):
            kept.post(f"{server.url}/async-def/0")
        kept.post(f"{server.url}/blocking")
        server.wait_for("work: started", nth=5)
        with new_client() as other:
            other.get(f"{server.url}/openapi.json")
        kept.get(f"{server.url}/openapi.json")
        by_other, done, by_kept = (
            server.lines.index(server.wait_for(text, nth=nth))
            for text, nth in (("GET /", 1), ("work: done", 5), ("GET /", 2))
        )
        assert by_other < done < by_kept
        assert len({x.text for x in server.lines if "started in" in x.text}) == 1


def test_workers_want_an_import_string_and_no_reload(tmp_path: Path):
    """`uvicorn.run(app, workers=2)` starts nothing: `You must pass the application as an import string to enable 'reload' or 'workers'.` With `--reload`, `--workers 2` is one worker: `"workers" flag is ignored when reloading is enabled.`"""
    code = f"import uvicorn; from {TARGET.replace(':', ' import ')}; "
    code += "uvicorn.run(app, workers=2)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 3
    assert "You must pass the application as an import string" in ended.stderr
    with with_reload(tmp_path, "--workers", "2") as server:
        server.wait_for('"workers" flag is ignored when reloading is enabled.')
