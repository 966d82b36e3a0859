"""The answer leaves before anybody has looked whether the address has an account."""

import hashlib
import logging
import os
import secrets
import sqlite3
import time
from contextlib import closing
from functools import partial
from tempfile import gettempdir
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, StringConstraints

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/accounts.db")
SITE = os.environ.get("SITE", "https://shop.example.com")  # not what a header says
HOUR = 3600

app = FastAPI()
logger = logging.getLogger("forgot_password")


connect = partial(sqlite3.connect, DATABASE, timeout=30)

with closing(connect()) as db, db:
    db.execute("create table if not exists users (email primary key, password)")
    db.execute("create table if not exists links (digest primary key, email, until)")
    known = [["ada@example.com"], ["full@example.com"]]
    db.executemany("insert or ignore into users (email) values (?)", known)

Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s,;<>()]+@[\w.-]+$", max_length=254)
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=200)]


class Forgotten(BaseModel):
    email: Email


class NewPassword(BaseModel):
    token: Annotated[str, StringConstraints(max_length=100)]
    password: Password


def make_link(email: str) -> str | None:
    token = secrets.token_hex(16)
    digest = hashlib.sha256(token.encode()).hexdigest()  # of no use to who reads it
    with closing(connect()) as db, db:
        known = db.execute("select 1 from users where email = ?", [email]).fetchone()
        if not known:
            return None
        link = (digest, email, time.time() + HOUR)
        db.execute("insert into links values (?, ?, ?)", link)
    return f"{SITE}/reset#{token}"


def send(email: str, link: str) -> None:
    time.sleep(0.8)  # stands in for a mail server
    if email == "full@example.com":
        raise ConnectionError("the mailbox is full")
    print(f"send: to {email}: {link}")


def mail_link(email: str) -> None:
    print("mail_link: started")
    try:
        if link := make_link(email):
            send(email, link)
    except Exception:
        logger.exception("mail_link: no mail to %s", email)
    print("mail_link: done")


@app.post("/forgotten-passwords", status_code=202)
async def forgot_password(form: Forgotten, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(mail_link, form.email)
    return {"message": "If this address has an account, a mail is on its way."}


@app.post("/new-passwords", status_code=204, responses={400: {}})
def reset_password(form: NewPassword) -> None:
    salt = secrets.token_bytes()
    hashed = hashlib.scrypt(form.password.encode(), salt=salt, n=2**14, r=8, p=5)
    values = {
        "digest": hashlib.sha256(form.token.encode()).hexdigest(),
        "password": f"{salt.hex()}:{hashed.hex()}",
        "now": time.time(),
    }
    with closing(connect()) as db, db:  # one transaction
        changed = db.execute(
            "update users set password = :password where email ="
            " (select email from links where digest = :digest and until > :now)",
            values,
        )
        db.execute(
            "delete from links where until <= :now or email ="
            " (select email from links where digest = :digest and until > :now)",
            values,
        )
    if not changed.rowcount:
        raise HTTPException(400, "This link was used, or is too old. Ask for another.")
