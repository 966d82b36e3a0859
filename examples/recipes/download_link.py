"""A link for a browser, which sends no bearer token: signed, good for a minute, and once."""

import csv
import hashlib
import hmac
import os
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Annotated, Any
from uuid import uuid4

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/links.db")
SECRET = os.environ.get("LINK_SECRET", secrets.token_hex()).encode()
LIFETIME = int(os.environ.get("LINK_LIFETIME", "60"))  # seconds
USERS = {"ada-token": "ada", "eve-token": "eve"}  # stands in for your login
folder = Path(os.environ.get("REPORTS") or mkdtemp())


def execute(*statements: str, **values: Any) -> list[Any]:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as db, db:  # one transaction
        return [db.execute(statement, values).fetchall() for statement in statements]


execute(
    "create table if not exists reports (id primary key, owner)",
    "create table if not exists used (nonce primary key, until)",
)
app = FastAPI()
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
ReportId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{32}$")]


def read_user(bearer: Bearer) -> str:
    if user := USERS.get(bearer.credentials):
        return user
    raise HTTPException(401, "This token is unknown.")


def read_own(report_id: ReportId, user: Annotated[str, Depends(read_user)]) -> str:
    query = "select 1 from reports where id = :id and owner = :user"
    [own] = execute(query, id=report_id, user=user)
    if not own:
        raise HTTPException(404, f"You have no report {report_id}.")
    return report_id


def build_report(report_id: str, user: str) -> None:
    time.sleep(0.5)  # stands in for the work
    unfinished = folder / f"{report_id}.part"
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows([["user", "tea"], [user, 42]])
    unfinished.replace(folder / f"{report_id}.csv")
    print(f"build_report: {report_id} done")


def sign(report_id: str, until: int, nonce: str) -> str:
    signed = f"{report_id}.{until}.{nonce}".encode()
    return hmac.digest(SECRET, signed, hashlib.sha256).hex()


@app.post("/reports", status_code=202)
def create_report(
    user: Annotated[str, Depends(read_user)], tasks: BackgroundTasks
) -> dict[str, str]:
    report_id = uuid4().hex
    execute("insert into reports values (:id, :user)", id=report_id, user=user)
    tasks.add_task(build_report, report_id, user)
    return {"id": report_id}


@app.post("/reports/{report_id}/links", status_code=201, responses={409: {}})
def create_link(report_id: Annotated[str, Depends(read_own)]) -> dict[str, str]:
    if not (folder / f"{report_id}.csv").exists():
        raise HTTPException(409, "The report is not ready yet.")
    until, nonce = int(time.time()) + LIFETIME, uuid4().hex
    signature = sign(report_id, until, nonce)
    query = f"until={until}&nonce={nonce}&signature={signature}"
    return {"link": f"/reports/{report_id}/file?{query}"}


@app.get(
    "/reports/{report_id}/file",
    response_class=FileResponse,
    responses={403: {}, 410: {}},
)
def download(
    report_id: ReportId, until: int, nonce: str, signature: str
) -> FileResponse:
    wanted = sign(report_id, until, nonce)
    if not hmac.compare_digest(signature.encode(), wanted.encode()):
        raise HTTPException(403, "This link was not made here.")
    new, _ = execute(
        "insert or ignore into used values (:nonce, :until) returning 1",
        "delete from used where until < :now",
        nonce=nonce,
        until=until,
        now=time.time(),
    )
    if not new or until < time.time():
        raise HTTPException(410, "This link was used, or is too old. Ask for another.")
    return FileResponse(
        folder / f"{report_id}.csv",
        filename="report.csv",
        headers={"Cache-Control": "no-store"},
    )
