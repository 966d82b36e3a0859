"""The statements of docs/what-is-lost.md."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.trial import kill
from bench.ways import WAYS
from runner import client, serve

IN_PROCESS = {f"{way.module}:app": way for way in WAYS.values() if not way.settings}


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "examples.what_is_lost.background_tasks:app",
        "examples.what_is_lost.in_process_queue:app",
        "examples.what_is_lost.process_pool:app",
    ],
)
def test_what_waits_in_memory_is_gone_with_the_process(target: str):
    """Killed with `SIGKILL` and started again, none of the three does what it had accepted and not done, and none starts a job twice: at most once."""
    way = replace(IN_PROCESS[target], path="/orders/{number}/slow")
    outcome = kill(way, "worker", jobs=100, after=1, patience=1)
    assert outcome.accepted == 100
    assert outcome.lost > 20
    assert outcome.twice == 0


@pytest.mark.parametrize(("how", "charges"), [("without-key", 2), ("with-key", 1)])
def test_a_card_is_charged_twice_without_a_key_and_once_with_one(
    how: str, charges: int, tmp_path: Path
):
    """The process is killed between the charge and the note that it is done. The next process runs the job again. Without a key that is a second charge; with the order's number as the key it is the same charge."""
    env = {"DATABASE": str(tmp_path / "charges.db")}
    target = "examples.what_is_lost.charges:app"
    with serve(target, env=env | {"POWER_FAILS": "1"}) as server:
        assert client.post(f"{server.url}/orders/7/{how}").status_code == 202
        server.wait_for("pay: order 7 charged")
        server.wait()
    with serve(target, env=env) as server:
        server.wait_for("pay: order 7 done")
    with serve(target, env=env) as server:  # now nothing is open
        client.post(f"{server.url}/orders/8/{how}")
        server.wait_for("pay: order 8 done")
        assert client.get(f"{server.url}/orders/7/charges").json() == charges
