"""A CSV file is imported in the background; bad lines are reported, the rest counts."""

import csv
import logging
import os
import sqlite3
from contextlib import closing, suppress
from io import TextIOWrapper
from tempfile import mkdtemp
from typing import Annotated, BinaryIO, Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, HTTPException, Response, UploadFile
from pydantic import BaseModel, Field, ValidationError

DATABASE = os.environ.get("DATABASE") or f"{mkdtemp()}/db"
PATIENCE = float(os.environ.get("PATIENCE", "30"))  # seconds that a writer waits
COLUMNS = {"sku", "name", "cents"}

app = FastAPI()
logger = logging.getLogger("csv_import")


class Product(BaseModel):
    sku: Annotated[str, Field(min_length=1, max_length=40)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    cents: Annotated[int, Field(ge=0, le=10_000_000)]


class Report(BaseModel):
    status: Literal["running", "done", "failed"] = "running"
    read: int = 0
    imported: int = 0
    problems: list[str] = []


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, timeout=PATIENCE)


with closing(connect()) as db:
    db.execute("PRAGMA journal_mode = WAL")  # readers do not wait for the import
    db.execute("CREATE TABLE IF NOT EXISTS products (sku PRIMARY KEY, name, cents)")
    db.execute("CREATE TABLE IF NOT EXISTS imports (id PRIMARY KEY, report)")


def save(db: sqlite3.Connection, import_id: str, report: Report) -> None:
    new = "INSERT OR REPLACE INTO imports VALUES (?, ?)"
    db.execute(new, (import_id, report.model_dump_json()))
    db.commit()  # together with the products since the last time


def save_the_end(db: sqlite3.Connection, import_id: str, report: Report) -> None:
    for _ in range(10):
        with suppress(sqlite3.OperationalError):  # others write for long
            return save(db, import_id, report)
    logger.error("import %s could not save that it is %s", import_id, report.status)


def read_line(db: sqlite3.Connection, row: object, report: Report, line: int) -> None:
    report.read += 1
    try:
        db.execute(
            "INSERT INTO products VALUES (:sku, :name, :cents) ON CONFLICT DO UPDATE "
            "SET name = excluded.name, cents = excluded.cents",
            Product.model_validate(row).model_dump(),
        )
        report.imported += 1
    except ValidationError as error:
        if len(report.problems) < 100:
            first = error.errors()[0]
            report.problems.append(f"line {line}: {first['loc'][0]}: {first['msg']}")


def import_products(import_id: str, file: BinaryIO) -> None:
    report = Report()
    with closing(connect()) as db:
        try:
            text = TextIOWrapper(file, "utf-8-sig", newline="")
            rows = csv.DictReader(text, restkey="more", strict=True)
            if not set(rows.fieldnames or ()) >= COLUMNS:
                raise csv.Error("the first line must name sku, name and cents")
            for row in rows:
                read_line(db, row, report, rows.line_num)
                if report.read % 200 == 0:
                    save(db, import_id, report)
            report.status = "done"
        except (csv.Error, UnicodeDecodeError) as error:
            report.status = "failed"
            report.problems.append(f"after line {report.read + 1}: {error}")
        except Exception:
            logger.exception("import %s failed", import_id)
            report.status = "failed"
            report.problems.append("internal error")
        save_the_end(db, import_id, report)
    print(f"import_products: {report.imported} of {report.read} imported")


@app.post("/imports", status_code=202, max_body_size=20_000_000, responses={503: {}})
def create_import(
    file: UploadFile, response: Response, tasks: BackgroundTasks
) -> dict[str, str]:
    import_id = uuid4().hex
    try:
        with closing(connect()) as db:
            save(db, import_id, Report())
    except sqlite3.OperationalError:
        raise HTTPException(503, "The database is busy. Try again later.") from None
    tasks.add_task(import_products, import_id, file.file)
    response.headers["Location"] = f"/imports/{import_id}"
    return {"id": import_id}


@app.get("/imports/{import_id}", responses={404: {}})
def read_import(import_id: str) -> Report:
    with closing(connect()) as db:
        found = db.execute("SELECT report FROM imports WHERE id = ?", (import_id,))
        row = found.fetchone()
    if row is None:
        raise HTTPException(404, f"There is no import {import_id}.")
    return Report.model_validate_json(row[0])
