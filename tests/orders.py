"""What a client of the queues' examples does: place an order, ask until its job is done."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from runner import Server, client
from runner.services import Service

T = TypeVar("T")


def place(server: Server, number: int, item: str = "tea") -> httpx.Response:
    """Place an order; the receipt for it is the job."""
    return client.post(f"{server.url}/orders/{number}/{item}", timeout=30)


def state(server: Server, job: str | int) -> dict[str, Any]:
    """What the app says of a job."""
    answer: dict[str, Any] = client.get(f"{server.url}/jobs/{job}").json()
    return answer


def answers_without(service: Service, server: Server) -> list[httpx.Response]:
    """The answers while the service is frozen, and while it is killed. It is back then.

    To an order and to the question how a job is; when it is killed to two of each.
    """

    def ask(number: int) -> list[httpx.Response]:
        asked = client.get(f"{server.url}/jobs/nobody", timeout=30)
        return [place(server, number), asked]

    with service.frozen():
        answers = ask(2)
    service.kill()
    answers += [*ask(3), *ask(3)]
    service.start()
    return answers


def ask_until(ask: Callable[[], T], wanted: Callable[[T], bool], timeout: float) -> T:
    """Ask until the answer is as wanted, and return it. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not wanted(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer
