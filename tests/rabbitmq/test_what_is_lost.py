"""The statements of docs/what-is-lost.md."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import aio_pika
import httpx
import pytest

from bench.trial import kill
from bench.ways import WAYS
from runner import client, serve
from runner.services import Service
from tests.copying import changed
from tests.services import in_a_thread, settings_of

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
    """Killed with `SIGKILL` and started again, `BackgroundTasks`, the queue and the pool lose what they had accepted and not done, and none starts a job twice: at most once."""
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


def message_in(url: str, queue: str) -> str:
    """The first message of a queue, taken out of it; empty: there is none."""

    async def get() -> None:
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            declared = await channel.declare_queue(queue, durable=True)
            if message := await declared.get(fail=False):
                await message.ack()
                found.append(message.body.decode())

    found: list[str] = []
    in_a_thread(get()).result()
    return "".join(found)


FIRST = "examples.what_is_lost.commit_or_enqueue_first:app"


@pytest.mark.parametrize(
    ("how", "order_is_there", "job_is_there"),
    [
        ("commit-first", True, False),
        ("enqueue-first", False, True),
        ("in-one-transaction", False, False),
    ],
)
def test_between_commit_and_queue_one_of_the_two_is_missing(
    how: str,
    order_is_there: bool,
    job_is_there: bool,
    rabbitmq: Service,
    tmp_path: Path,
):
    """The process is killed between the two. Committed first, the order is there and RabbitMQ has no job for it. Enqueued first, the job is there and finds no order. With the job as a row in the transaction of the order, neither is there, and the client, which has no answer, asks again."""
    settings = settings_of(FIRST, tmp_path)
    with serve(FIRST, env=settings | {"POWER_FAILS": "1"}) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            client.post(f"{server.url}/{how}/7")
        server.wait()
    with closing(sqlite3.connect(settings["DATABASE"])) as database:
        orders = database.execute("select id from orders").fetchall()
        jobs = database.execute("select order_id from jobs").fetchall()
    message = message_in(settings["RABBITMQ"], "placed")
    assert (orders == [(7,)]) == order_is_there
    assert (message == "7" or jobs == [(7,)]) == job_is_there
    with serve(FIRST, env=settings) as server:
        assert client.post(f"{server.url}/{how}/7").status_code == 200
    with closing(sqlite3.connect(settings["DATABASE"])) as database:
        assert database.execute("select id from orders").fetchall() == [(7,)]
        jobs = database.execute("select order_id from jobs").fetchall()
    assert message_in(settings["RABBITMQ"], "placed") == "7" or jobs == [(7,)]


KEPT = {
    "both": {},
    "no durable queue": {"durable=True": "durable=False"},
    "no persistent message": {"delivery_mode=2": "delivery_mode=1"},
}


@pytest.mark.slow
def test_a_message_survives_rabbitmq_if_it_and_its_queue_are_kept(
    rabbitmq: Service, tmp_path: Path
):
    """RabbitMQ is killed and comes back. Of a classic queue it has the message if the queue is `durable` and the message has `delivery_mode=2`; with one of the two it has not, though the sender had its confirm."""
    settings = settings_of(FIRST, tmp_path)
    for name, change in KEPT.items():
        folder = tmp_path / name
        folder.mkdir()
        named = {'"placed"': f'"{name}"', **change}
        with serve("changed:app", env=changed(settings, folder, FIRST, named)) as app:
            assert client.post(f"{app.url}/commit-first/7").status_code == 200
    rabbitmq.kill()
    rabbitmq.start()
    there = {name: message_in(settings["RABBITMQ"], name) for name in KEPT}
    assert there == {"both": "7", "no durable queue": "", "no persistent message": ""}
