"""The statements of docs/loops-in-the-app.md."""

import sys
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import aio_pika
import aiormq
import httpx
import psutil
import pytest

from runner import client, serve
from runner.process import PYTHON, free_port, start
from runner.proxy import proxy
from runner.services import Service
from tests.copying import changed
from tests.services import in_a_thread, rabbitmq_url, settings_of

pytestmark = pytest.mark.slow

REFRESH = "examples.loops_in_the_app.refresh:app"


def test_the_start_does_not_wait_for_the_loop():
    """The app has started, and answers, before the first round is done."""
    with serve(REFRESH) as server:
        assert client.get(f"{server.url}/rounds").status_code == 200
        server.wait_for("round 1: done")
        printed = server.transcript()
    assert printed.index("startup complete") < printed.index("round 1: done")


def test_a_loop_that_is_awaited_in_the_lifespan_keeps_the_app_from_starting():
    """Awaited in the lifespan, the loop runs, and the app never starts: nobody listens at its port."""
    port = free_port()
    target = "examples.loops_in_the_app.never_started:app"
    command = (*PYTHON, "uvicorn", target, "--port", str(port))
    with start(command, ready="Waiting for application") as server:
        server.wait_for("a round", nth=2)
        with pytest.raises(httpx.ConnectError):
            client.get(f"http://127.0.0.1:{port}/ping")
        assert "startup complete" not in server.transcript()


def test_a_round_that_fails_is_logged_and_the_next_one_follows():
    """A round that raises is logged, and the next one runs."""
    with serve(REFRESH) as server:
        server.wait_for("a round failed")
        server.wait_for("round 3: done")
        printed = server.transcript()
        rounds = client.get(f"{server.url}/rounds").json()
    assert printed.index("ConnectionError") < printed.index("round 3: started")
    assert "round 2: done" not in printed
    assert rounds["done"] < rounds["started"]


@pytest.mark.parametrize("sent", [SIGTERM, SIGINT])
def test_the_loop_is_cancelled_and_awaited_before_the_lifespan_goes_on(sent: Signals):
    """When the server is asked to stop, the loop has ended before the lifespan goes on."""
    with serve(REFRESH) as server:
        server.wait_for("round 1: started")
        server.stop(sent)
        printed = server.transcript()
    assert printed.index("the loop has ended") < printed.index("the lifespan goes on")
    assert "round 2: started" not in printed


def test_a_start_with_a_limit_fails_in_words():
    """With a limit around what it awaits, the start fails: `Application startup failed`, and the process ends."""
    target = "examples.loops_in_the_app.start_limit:app"
    command = (*PYTHON, "uvicorn", target, "--port", str(free_port()))
    with start(command, ready="connect: waits for the broker") as server:
        server.wait_for("TimeoutError")
        server.wait_for("Application startup failed. Exiting.")
        assert server.wait() != 0


def test_without_a_limit_ctrl_c_does_not_end_it():
    """Without a limit, even Ctrl+C and `SIGTERM` are not heard before the lifespan has reached `yield`."""
    target = "examples.loops_in_the_app.never_started:app"
    command = (*PYTHON, "uvicorn", target, "--port", str(free_port()))
    with start(command, ready="Waiting for application") as server:
        server.wait_for("a round")
        for sent in (SIGINT, SIGTERM):
            server.process.send_signal(sent)
            server.wait_for("a round", start=len(server.lines), nth=2)


def test_a_loop_that_has_ended_says_nothing():
    """The loop has no `except`, and its second round fails: the terminal shows nothing, because the lifespan still holds the task. `/health` says it."""
    with serve("examples.loops_in_the_app.watched:app") as server:
        server.wait_for("round 1: done")
        while (health := client.get(f"{server.url}/health")).status_code == 200:
            pass
        printed = server.transcript()
    assert health.status_code == 503
    assert "round 2: started" in printed
    assert "ConnectionError" not in printed


def test_a_loop_in_a_thread_ends_with_the_server():
    """A loop that blocks has a thread: the app answers meanwhile, and the loop ends before the server does."""
    with serve("examples.loops_in_the_app.in_a_thread:app") as server:
        server.wait_for("poll: a round")
        assert client.get(f"{server.url}/ping").json() == "pong"
        server.stop()
        printed = server.transcript()
    assert printed.index("poll_for_ever: ended") < printed.index("shutdown complete")


def test_a_loop_in_a_thread_survives_a_round_that_fails(tmp_path: Path):
    """A round that raises is logged, and the next one runs."""
    target = "examples.loops_in_the_app.in_a_thread:app"
    fails = {'    print("poll: a round")\n': '    raise ConnectionError("gone")\n'}
    with serve("changed:app", env=changed({}, tmp_path, target, fails)) as server:
        server.wait_for("ConnectionError: gone", nth=2)


def test_with_two_workers_one_has_the_loop_until_it_dies(tmp_path: Path):
    """Of two workers one has the loop. It is killed, and the other, or its successor, begins it."""
    target = "examples.loops_in_the_app.only_one:app"
    tries = {"await asyncio.sleep(0.5)": "print('waits'); await asyncio.sleep(0.5)"}
    env = changed(settings_of(target, tmp_path), tmp_path, target, tries)
    with serve("changed:app", "--workers", "2", env=env) as server:
        first = server.wait_for("refresh_for_ever: begins")
        server.wait_for("waits", nth=4)
        seen = len(server.lines)
        assert sum("refresh_for_ever" in line.text for line in server.lines) == 1
        psutil.Process(int(first.text.split()[-1])).send_signal(SIGKILL)
        second = server.wait_for("refresh_for_ever: begins", start=seen)
    assert second.text != first.text


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("", ["__main__", "changed"]),
        (", reload=True", ["__main__", "__mp_main__", "changed"]),
    ],
    ids=["once", "reload"],
)
def test_a_loop_started_at_module_level_starts_with_every_import(
    options: str, names: list[str], tmp_path: Path
):
    """`python main.py` with `uvicorn.run("main:app")` runs the file twice, as `__main__` and as `main`, and with `reload=True` three times: a thread that is started at module level is started as often. The lifespan runs once."""
    env = changed(
        {},
        tmp_path,
        REFRESH,
        {"app = FastAPI(": "print('as', __name__)\napp = FastAPI("},
    )
    main = f'uvicorn.run("changed:app", port={free_port()}{options})'
    with (tmp_path / "changed.py").open("a") as file:
        file.write(f'\nif __name__ == "__main__":\n    import uvicorn\n    {main}\n')
    with start([sys.executable, "changed.py"], cwd=tmp_path, env=env) as server:
        server.wait_for("round 1: done")
        said = [line.text for line in server.lines]
    assert [line.split()[1] for line in said if line.startswith("as ")] == names
    assert said.count("round 1: started") == 1


REPEATED = "examples.loops_in_the_app.repeated:app"
NOT_AGAIN = "asyncio.iscoroutinefunction"
"""What fastapi-utils 0.8 asks, and Python 3.14 deprecates."""


def test_repeat_every_is_silent_about_a_round_that_fails():
    """Each round of `refresh_prices` fails: the next one comes, and the terminal shows no exception. Those of `refresh_stock` are reported by `on_exception`."""
    with serve(REPEATED) as server:
        server.expect(NOT_AGAIN)
        server.wait_for("prices: a round", nth=3)
        server.wait_for("ConnectionError: the warehouse did not answer")
        assert "the shop did not answer" not in server.transcript()


@pytest.mark.parametrize("sent", [SIGTERM, SIGINT])
def test_repeat_every_is_not_ended_by_the_lifespan(sent: Signals):
    """A round that runs when the server is asked to stop is still there when the lifespan closes what it uses. Ctrl+C cancels it after that; `SIGTERM` ends it without a word."""
    with serve(REPEATED) as server:
        server.expect(NOT_AGAIN)
        server.wait_for("ConnectionError: the warehouse did not answer")
        server.stop(sent)
        printed = server.transcript()
    if sent is SIGINT:
        closed = printed.index("lifespan: closes what the rounds use")
        assert closed < printed.index("rates: cancelled")
    else:
        assert "lifespan: closes what the rounds use" in printed
        assert "rates: cancelled" not in printed


CONSUMER = "examples.loops_in_the_app.consumer:app"


async def publish(url: str, *orders: str) -> None:
    """Put messages into the consumer's queue."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue("paid", durable=True)
        for order in orders:
            message = aio_pika.Message(order.encode(), delivery_mode=2)
            await channel.default_exchange.publish(message, "paid")


@pytest.fixture(autouse=True)
def nothing_waits(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What the test before has not acknowledged is gone."""
    if "rabbitmq" in request.fixturenames:
        settings_of(CONSUMER, tmp_path)


def send(rabbitmq: Service, *orders: str) -> None:
    in_a_thread(publish(rabbitmq_url(rabbitmq), *orders)).result()


def at(rabbitmq: Service, port: int = 0) -> dict[str, str]:
    """The consumer's environment: where RabbitMQ is."""
    return {"RABBITMQ": rabbitmq_url(rabbitmq, port)}


def test_the_consumer_comes_back_when_RabbitMQ_does(rabbitmq: Service):
    """RabbitMQ is killed and started again: the consumer says so, connects again, and gets what comes then. The app answers all the while."""
    with serve(CONSUMER, env=at(rabbitmq)) as server:
        server.wait_for("consume: listens")
        send(rabbitmq, "tea")
        server.wait_for("send_receipt: tea done")
        server.expect("AMQPConnectionError")
        rabbitmq.kill()
        server.wait_for("the broker has gone")
        assert client.get(f"{server.url}/ping").json() == "pong"
        rabbitmq.start()
        server.wait_for("consume: listens", nth=2)
        send(rabbitmq, "milk")
        server.wait_for("send_receipt: milk done")


@pytest.mark.parametrize(
    ("work", "runs"),
    [("time.sleep(10)", 2), ("await asyncio.to_thread(time.sleep, 10)", 1)],
)
def test_work_that_blocks_sends_no_heartbeats(
    work: str, runs: int, rabbitmq: Service, tmp_path: Path
):
    """Work that blocks the event loop keeps the heartbeats back too: RabbitMQ closes the connection, here after a few seconds and by default after some minutes, and gives the message out again though it is being worked on. In a thread it runs once."""
    blocks = {
        'await asyncio.sleep(2 if order == "slow" else 0.2)': work,
        "import os\n": "import os\nimport time\n",
    }
    url = f"{rabbitmq_url(rabbitmq)}?heartbeat=2"
    env = changed({"RABBITMQ": url}, tmp_path, CONSUMER, blocks)
    with serve("changed:app", env=env) as server:
        server.expect("the broker has gone|ERROR|Traceback|WARNING")
        server.wait_for("consume: listens")
        send(rabbitmq, f"tea {runs}")
        server.wait_for(f"send_receipt: tea {runs} started", nth=runs)
        if runs == 1:
            server.wait_for("send_receipt: tea 1 done")
            send(rabbitmq, "milk")
            server.wait_for("send_receipt: milk started")
            assert server.transcript().count("tea 1 started") == 1


def test_the_app_starts_without_RabbitMQ(rabbitmq: Service):
    """The app starts while RabbitMQ cannot be reached, and the consumer listens when it can."""
    port = free_port()
    with serve(CONSUMER, env=at(rabbitmq, port)) as server:
        server.wait_for("the broker has gone")
        with proxy(rabbitmq.port, port):
            server.wait_for("consume: listens")
            server.stop()


LATER = {
    "            channel = await": "            print('connected')\n"
    "            await asyncio.sleep(1)\n            channel = await"
}


@pytest.mark.parametrize(
    ("cut", "changes", "heartbeat"),
    [
        ("consume: listens", {}, "?heartbeat=1"),
        ("^connected", LATER, "?heartbeat=1"),
        ("^connected", LATER | {"timeout(10)": "timeout(4)"}, ""),
    ],
)
def test_a_dead_connection_is_given_up_and_the_next_one_is_used(
    cut: str, changes: dict[str, str], heartbeat: str, rabbitmq: Service, tmp_path: Path
):
    """The consumer's connection stays open, and nothing comes through it any more. With `?heartbeat=1` in the address it is given up after three missing heartbeats, and the next one gets the messages. While it begins, the limit around that gives it up too. By default there is one heartbeat a minute."""
    with proxy(rabbitmq.port) as network:
        url = rabbitmq_url(rabbitmq, network.port) + heartbeat
        env = changed({"RABBITMQ": url}, tmp_path, CONSUMER, changes)
        with serve("changed:app", env=env) as server:
            server.wait_for(cut)
            network.forget()
            send(rabbitmq, "coffee")
            server.wait_for("the broker has gone")
            server.wait_for("send_receipt: coffee done")

    async def usual() -> int:
        connection = await aiormq.connect(rabbitmq_url(rabbitmq))
        await connection.close()
        return int(connection.connection_tune.heartbeat)

    assert in_a_thread(usual()).result() == 60


def test_what_waits_for_a_dead_connection_is_cancelled(
    rabbitmq: Service, tmp_path: Path
):
    """What waits for an answer when a connection is given up gets a `CancelledError` from aio-pika. With `except Exception` around the round, in place of `gather(…, return_exceptions=True)`, that ends the consumer in silence."""
    caught = """try:
            await consume()
        except Exception:
            logger.exception("the broker has gone")
"""
    old = "(error,) = await asyncio.gather(consume(), return_exceptions=True)\n"
    ended = "consumer.add_done_callback(lambda task: print(f'{task.cancelled()=}'))"
    changes = LATER | {
        old: caught,
        "        logger.error": "        # ",
        "    yield": f"    {ended}\n    yield",
    }
    with proxy(rabbitmq.port) as network:
        url = f"{rabbitmq_url(rabbitmq, network.port)}?heartbeat=1"
        env = changed({"RABBITMQ": url}, tmp_path, CONSUMER, changes)
        with serve("changed:app", env=env) as server:
            server.wait_for("^connected")
            network.forget()
            server.wait_for("task.cancelled.*True")
            assert "the broker has gone" not in server.transcript()


def test_what_it_was_doing_comes_again(rabbitmq: Service):
    """The app is stopped in the middle of a message: the message goes back to RabbitMQ, and the next app gets it."""
    with serve(CONSUMER, env=at(rabbitmq)) as server:
        server.wait_for("consume: listens")
        send(rabbitmq, "slow")
        server.wait_for("send_receipt: slow started")
        server.stop()
        assert "slow done" not in server.transcript()
    with serve(CONSUMER, env=at(rabbitmq)) as server:
        server.wait_for("send_receipt: slow done")
