"""Puts load on a server: many requests, several at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from runner import Server, client, new_client

REQUESTS, AT_ONCE = 200, 20


def load(
    url: str, send: Callable[[httpx.Client, int], httpx.Response]
) -> list[httpx.Response]:
    """Call `send` with a shared client and the numbers below `REQUESTS`, `AT_ONCE` at a time."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    with (
        new_client(base_url=url, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        return list(threads.map(lambda number: send(client, number), range(REQUESTS)))


def post_at_once(server: Server, path: str, times: int) -> list[int]:
    """Post several requests at the same time; their statuses, the lowest first."""
    with ThreadPoolExecutor(times) as threads:
        answers = threads.map(lambda _: client.post(server.url + path), range(times))
        return sorted(answer.status_code for answer in answers)
