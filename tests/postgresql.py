"""Connections of a test to the real PostgreSQL, beside those of an example."""

from typing import Any

import psycopg

from tests.orders import ask_until

Connection = psycopg.Connection[Any]


def connect(database: str, **more: Any) -> Connection:
    return psycopg.connect(database, **{"autocommit": True, **more})


def waits_for_a_lock(watching: Connection, waiting: Connection) -> None:
    waits = "select wait_event_type from pg_stat_activity where pid = %s"
    ask_until(
        lambda: watching.execute(waits, [waiting.info.backend_pid]).fetchone(),
        lambda state: state == ("Lock",),
        30,
    )
