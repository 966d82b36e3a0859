"""How long other requests wait while a task computes, all ways in one run: ``make latency``."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx

from recording.model import Latencies, Latency, MadeWith, save
from recording.watching import CLIENT_WAITS, EVENT_LOOP, THREAD_POOL, WORKER_PROCESS
from runner import serve
from runner.clients import certificates, client

NAME = "heavy_work/latencies"
EXAMPLE = "examples.heavy_work.three_ways:app"

_WAYS = [
    ("nothing else", "", 0, CLIENT_WAITS),
    ("one in a process pool", "/process-pool", 1, WORKER_PROCESS),
    ("one def task", "/def", 1, THREAD_POOL),
    ("four def tasks", "/def", 4, THREAD_POOL),
    ("one async def task", "/async-def", 1, EVENT_LOOP),
]
"""What the server does meanwhile, the request for it, how often it is sent, the lane."""


def measure(*, rounds: int, pings: int) -> list[Latency]:
    """Send `pings` requests, one each 0.1 s, while a task computes; each way `rounds` times.

    Each ping is sent when its time has come, whether or not those before it have been
    answered.
    """
    seconds: list[list[float]] = [[] for _ in _WAYS]
    with serve(EXAMPLE) as server:
        client.post(f"{server.url}/process-pool")  # starts the pool's process
        server.wait_for("compute_forecast: done", timeout=30)
        _ping(server.url, pings)
        for _ in range(rounds):
            for (_, path, times, _), kept in zip(_WAYS, seconds, strict=True):
                start = len(server.lines)
                for _ in range(times):
                    client.post(server.url + path, timeout=30)
                if times:
                    server.wait_for("t: started", nth=times, start=start, timeout=30)
                kept += _ping(server.url, pings)
                if times:
                    server.wait_for("t: done", nth=times, start=start, timeout=60)
    return [
        Latency(name, lane, kept)
        for (name, _, _, lane), kept in zip(_WAYS, seconds, strict=True)
    ]


def _ping(url: str, pings: int) -> list[float]:
    # In a thread of its own: the caller's may have an event loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, _send_pings(url, pings)).result()


async def _send_pings(url: str, pings: int) -> list[float]:
    clock = asyncio.get_running_loop().time
    async with httpx.AsyncClient(
        base_url=url, timeout=60, verify=certificates()
    ) as pinging:

        async def ping(number: int) -> float:
            await asyncio.sleep(0.1 * number)
            sent = clock()
            (await pinging.get("/ping")).raise_for_status()
            return round(clock() - sent, 5)

        return await asyncio.gather(*map(ping, range(pings)))


def main() -> None:
    """Measure, and keep the figures."""
    series = measure(rounds=3, pings=10)
    save(NAME, Latencies(MadeWith.here("fastapi", "uvicorn"), series))


if __name__ == "__main__":
    main()
