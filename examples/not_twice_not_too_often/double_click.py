"""The client sends a key; a second request with it gets the answer of the first."""

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/payments.db")
Key = Annotated[str, Header(alias="Idempotency-Key", min_length=8, max_length=100)]

CREATE = """
    create table if not exists payments (
        id integer primary key, key text unique, user int, cents int)
"""
ADD = """
    insert into payments (key, user, cents) values (?, ?, ?)
    on conflict do nothing returning id
"""
FIND = "select id, user, cents from payments where key = ?"


class Payment(BaseModel):
    user: int = Field(gt=0, lt=2**63)
    cents: int = Field(gt=0, lt=2**63)


def execute(statement: str, values: Any = ()) -> Any:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        rows = database.execute(statement, values).fetchall()
        return rows[0] if rows else None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    execute(CREATE)
    yield


app = FastAPI(lifespan=lifespan)


def charge(payment: int) -> None:
    time.sleep(0.1)  # stands in for a bank
    print(f"charge: payment {payment}", flush=True)


@app.post("/payments", status_code=202, responses={409: {}})
def pay(new: Payment, key: Key, tasks: BackgroundTasks) -> dict[str, int]:
    if added := execute(ADD, [key, new.user, new.cents]):
        tasks.add_task(charge, added[0])
        return {"payment": added[0]}
    payment, *of_first = execute(FIND, [key])
    if of_first != [new.user, new.cents]:
        raise HTTPException(409, "This key was used for another payment.")
    return {"payment": payment}
