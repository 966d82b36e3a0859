"""HTTP clients that share what is dear in one: the machine's certificates, 40 ms to load."""

import ssl
from functools import cache
from typing import Any

import httpx


@cache
def certificates() -> ssl.SSLContext:
    """What a client trusts; loaded once in a process."""
    return ssl.create_default_context()


def new_client(**options: Any) -> httpx.Client:
    """A client with connections of its own, and more patience than httpx has by itself."""
    return httpx.Client(verify=certificates(), **{"timeout": 30, **options})


client = new_client(limits=httpx.Limits(max_keepalive_connections=0))
"""For single requests, each on a connection of its own, as ``httpx.get`` makes them."""
