"""What a client of the queues' examples does: place an order, ask for its job."""

from typing import Any

import httpx

from runner import Server


def place(server: Server, number: int, item: str = "tea") -> httpx.Response:
    """Place an order; the receipt for it is the job."""
    return httpx.post(f"{server.url}/orders/{number}/{item}", timeout=30)


def state(server: Server, job: str | int) -> dict[str, Any]:
    """What the app says of a job."""
    answer: dict[str, Any] = httpx.get(f"{server.url}/jobs/{job}").json()
    return answer
