"""The answer leaves before anybody has looked whether the address has an account."""

import hashlib
import logging
import os
import secrets
import sqlite3
import time
from contextlib import closing
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, HTTPException
from pydantic import BaseModel, StringConstraints

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/accounts.db")
SITE = os.environ.get("SITE", "https://shop.example.com")  # not what a header says
HOUR = 3600

app = FastAPI()
logger = logging.getLogger("forgot_password")


def execute(*statements: str, **values: Any) -> list[Any]:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as db, db:  # one transaction
        return [db.execute(statement, values).fetchall() for statement in statements]


execute(
    "create table if not exists users (email primary key, password)",
    "create table if not exists links (token primary key, email, until)",
    "insert or ignore into users values ('ada@example.com', '')",
    "insert or ignore into users values ('full@example.com', '')",
)

Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s,;<>()]+@[\w.-]+$", max_length=254)
]
Password = Annotated[str, StringConstraints(min_length=8, max_length=200)]


class Forgotten(BaseModel):
    email: Email


class NewPassword(BaseModel):
    token: Annotated[str, StringConstraints(max_length=100)]
    password: Password


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def make_link(email: str) -> str | None:
    [known] = execute("select 1 from users where email = :email", email=email)
    if not known:
        return None
    token = secrets.token_urlsafe()
    execute(
        "insert into links values (:digest, :email, :until)",
        digest=digest(token),  # who reads the table cannot use it
        email=email,
        until=time.time() + HOUR,
    )
    return f"{SITE}/reset#{token}"


def send(email: str, link: str) -> None:
    time.sleep(0.3)  # stands in for a mail server
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


@app.post("/new-passwords", status_code=204)
def reset_password(form: NewPassword) -> None:
    salt = secrets.token_bytes()
    hashed = hashlib.scrypt(form.password.encode(), salt=salt, n=2**14, r=8, p=1)
    used, _, _ = execute(
        "update users set password = :password where email in ("
        " select email from links where token = :digest and until > :now) returning 1",
        "delete from links where email in ("
        " select email from links where token = :digest and until > :now)",
        "delete from links where until <= :now",
        password=f"{salt.hex()}:{hashed.hex()}",
        digest=digest(form.token),
        now=time.time(),
    )
    if not used:
        raise HTTPException(400, "This link was used, or is too old. Ask for another.")
