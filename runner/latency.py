"""How long other requests wait while a task computes: all ways side by side in one run."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from runner.server import ROOT, serve

NAME = "heavy_work/latencies"
RECORDING = ROOT / "docs" / "recordings" / f"{NAME}.json"
EXAMPLE = "examples.heavy_work.three_ways:app"

_WAYS = [
    ("nothing else", "", 0, "client waits"),
    ("one in a process pool", "/process-pool", 1, "worker process"),
    ("one def task", "/def", 1, "thread pool"),
    ("four def tasks", "/def", 4, "thread pool"),
    ("one async def task", "/async-def", 1, "event loop"),
]
"""What the server does meanwhile, the request for it, how often it is sent, the lane."""


def measure(*, rounds: int, pings: int) -> list[dict[str, Any]]:
    """Send `pings` requests, one each 0.1 s, while a task computes; each way `rounds` times.

    Each ping is sent when its time has come, whether or not those before it have been
    answered. Returns for each way its ``name``, its ``lane`` and the ``seconds`` that
    each answer took.
    """
    seconds: list[list[float]] = [[] for _ in _WAYS]
    with serve(EXAMPLE) as server:
        httpx.post(f"{server.url}/process-pool")  # starts the pool's process
        server.wait_for("compute_forecast: done", timeout=30)
        _ping(server.url, pings)
        for _ in range(rounds):
            for (_, path, times, _), kept in zip(_WAYS, seconds, strict=True):
                start = len(server.lines)
                for _ in range(times):
                    httpx.post(server.url + path, timeout=30)
                if times:
                    server.wait_for("t: started", nth=times, start=start, timeout=30)
                kept += _ping(server.url, pings)
                if times:
                    server.wait_for("t: done", nth=times, start=start, timeout=60)
    return [
        {"name": name, "lane": lane, "seconds": kept}
        for (name, _, _, lane), kept in zip(_WAYS, seconds, strict=True)
    ]


def _ping(url: str, pings: int) -> list[float]:
    # In a thread of its own: the caller's may have an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _send_pings(url, pings)).result()


async def _send_pings(url: str, pings: int) -> list[float]:
    clock = asyncio.get_running_loop().time
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def ping(number: int) -> float:
            await asyncio.sleep(0.1 * number)
            sent = clock()
            (await client.get("/ping")).raise_for_status()
            return round(clock() - sent, 5)

        return await asyncio.gather(*map(ping, range(pings)))
