"""HTTP clients that share what is dear in one: the machine's certificates, 40 ms to load."""

import ssl
import time
from functools import cache
from typing import Any

import httpx

from recording.model import Exchange, Request
from recording.watching import NUMBER

PATIENCE = 30.0
"""Seconds that a client waits by itself; httpx would wait five."""


@cache
def certificates() -> ssl.SSLContext:
    """What a client trusts; loaded once in a process."""
    return ssl.create_default_context()


def new_client(**options: Any) -> httpx.Client:
    """A client with connections of its own, and more patience than httpx has by itself."""
    return httpx.Client(verify=certificates(), **{"timeout": PATIENCE, **options})


client = new_client(limits=httpx.Limits(max_keepalive_connections=0))
"""For single requests, each on a connection of its own, as ``httpx.get`` makes them."""


def _read_until(response: httpx.Response, text: str) -> None:
    read = ""
    for part in response.iter_text():
        read += part
        if text in read:
            return


def exchange(client: httpx.Client, number: int, request: Request) -> Exchange:
    """What this client sees of a scene's request of that number, in seconds since the epoch."""
    files = {"file": ("file.csv", request.upload)} if request.upload else None
    seen = Exchange(request.method, request.path, time.time(), left=request.leaves)
    try:
        with client.stream(
            request.method,
            request.path,
            json=request.json,
            files=files,
            content=request.body or None,
            headers=[*request.headers, (NUMBER, str(number))],
            timeout=httpx.Timeout(PATIENCE, read=request.gives_up or PATIENCE),
        ) as response:
            seen.status = response.status_code
            time.sleep(request.pause)
            if request.reads:
                _read_until(response, request.reads)
            body = b"" if request.leaves else response.read()
            short = len(body) < 1000
            seen.body = body.decode() if short else f"{len(body)} bytes"
    except httpx.TransportError as error:
        if request.gives_up and isinstance(error, httpx.ReadTimeout):
            seen.left = True
        else:
            seen.error = type(error).__name__
    seen.received = time.time()
    return seen
