"""Connections of a test to the real PostgreSQL, beside those of an example."""

import asyncio
import re
import time
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runner import Server, client, serve
from runner.proxy import Proxy, proxy
from tests.orders import ask_until
from tests.services import in_a_thread, running

Connection = psycopg.Connection[Any]


def connect(database: str, **more: Any) -> Connection:
    return psycopg.connect(database, **{"autocommit": True, **more})


def at_port(address: str, port: int) -> str:
    """The same database at another port, such as that of a proxy."""
    return re.sub(r":\d+/", f":{port}/", address)


def waits_for_a_lock(watching: Connection, waiting: Connection) -> None:
    waits = "select wait_event_type from pg_stat_activity where pid = %s"
    ask_until(
        lambda: watching.execute(waits, [waiting.info.backend_pid]).fetchone(),
        lambda state: state == ("Lock",),
        30,
    )


def away_for_eight_seconds(
    app: str, settings: dict[str, str], path: str
) -> tuple[float, float]:
    """PostgreSQL is away until a pool with default settings has tried four times, and a second.

    Returns the seconds from its return until the app answers other than with 503, asked
    again and again, and until that pool gives out a connection.
    """
    target = running("postgresql").port

    async def default_and_ours(
        server: Server, first: Proxy, through: str
    ) -> tuple[float, float]:
        def ours_is_back() -> float:
            url = f"{server.url}{path}"
            ask_until(lambda: client.get(url).status_code, lambda code: code != 503, 60)
            return time.monotonic()

        alive = AsyncConnectionPool.check_connection
        async with AsyncConnectionPool(
            through, min_size=1, max_size=1, open=False, check=alive
        ) as pool:
            await pool.wait()
            first.close()
            with suppress(PoolTimeout):
                await pool.getconn(timeout=0.5)
            ask = partial(asyncio.to_thread, client.get, f"{server.url}{path}")
            for refused in await asyncio.gather(*(ask() for _ in range(5))):
                assert refused.status_code == 503  # each connection was found dead
            while pool.get_stats().get("connections_errors", 0) < 4:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)  # a pool's tries come a tenth sooner or later
            with proxy(target, first.port):
                back = time.monotonic()
                ours = asyncio.create_task(asyncio.to_thread(ours_is_back))
                await pool.wait(timeout=60)
                default = time.monotonic()
                return await ours - back, default - back

    with proxy(target) as first:
        through = at_port(settings["DATABASE"], first.port)
        with serve(app, env=settings | {"DATABASE": through}) as server:
            server.expect("OperationalError|AdminShutdown|PoolTimeout")  # of a worker
            return in_a_thread(default_and_ours(server, first, through)).result()
