"""A CSV file as Excel saves it, tried first: each bad line is told, and nothing is written."""

import csv
import json
import logging
import os
import sqlite3
from contextlib import closing
from decimal import Decimal
from io import StringIO
from tempfile import gettempdir
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI, File, HTTPException
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

DATABASE = os.environ.get("DATABASE", f"{gettempdir()}/products.db")
BATCH = 500
UPSERT = """insert into products (sku, name, price)
    select value ->> 'sku', value ->> 'name', value ->> 'price' from json_each(?)
    where true on conflict (sku) do
    update set name = excluded.name, price = excluded.price"""
app = FastAPI()
logger = logging.getLogger("csv_from_excel")


def with_a_point(price: Any) -> Any:
    return price.replace(",", ".") if isinstance(price, str) else price


class Product(BaseModel):
    sku: Annotated[str, Field(min_length=1, max_length=40)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    price: Annotated[
        Decimal, BeforeValidator(with_a_point), Field(ge=0, lt=10**7, decimal_places=2)
    ]


class Report(BaseModel):
    dry_run: bool
    status: Literal["running", "done", "failed"] = "running"
    good: int = 0
    bad: int = 0
    problems: list[str] = []


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, timeout=30)


def save(db: sqlite3.Connection, import_id: str, report: Report) -> None:
    values = (import_id, report.model_dump_json())
    db.execute("insert or replace into imports values (?, ?)", values)
    db.commit()  # together with the products


with closing(connect()) as db:
    db.execute("create table if not exists products (sku primary key, name, price)")
    db.execute("create table if not exists imports (id primary key, report)")


def decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:  # so it is no UTF-8, whichever line that shows in
        return data.decode("cp1252")


def read_products(text: str, report: Report) -> list[dict[str, Any]]:
    head, products = "".join(text.splitlines()[:1]), []
    delimiter = max(";,\t", key=head.count)
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for row in rows:
        try:
            products.append(Product.model_validate(row).model_dump(mode="json"))
        except ValidationError as error:
            first, report.bad = error.errors()[0], report.bad + 1
            where = f"line {rows.line_num}: {first['loc'][0]}"
            report.problems = [*report.problems, f"{where}: {first['msg']}"][:100]
    report.good = len(products)
    return products


def import_products(import_id: str, data: bytes, report: Report) -> None:
    with closing(connect()) as db:
        try:
            products = read_products(decode(data), report)
            if not (report.dry_run or report.bad):
                for start in range(0, len(products), BATCH):
                    db.execute(UPSERT, (json.dumps(products[start : start + BATCH]),))
            report.status = "done" if report.good and not report.bad else "failed"
        except (csv.Error, UnicodeDecodeError) as error:
            report.status, report.problems = "failed", [str(error)]
        except Exception:
            logger.exception("import %s failed", import_id)
            db.rollback()
            report.status, report.problems = "failed", ["internal error"]
        save(db, import_id, report)
    print(f"import_products: {report.good} good, {report.bad} bad, {report.status}")


@app.post("/imports", status_code=202, max_body_size=5_000_000)
def create_import(
    file: Annotated[bytes, File()], tasks: BackgroundTasks, dry_run: bool = False
) -> dict[str, str]:
    import_id, report = uuid4().hex, Report(dry_run=dry_run)
    with closing(connect()) as db:
        save(db, import_id, report)
    tasks.add_task(import_products, import_id, file, report)
    return {"id": import_id}


@app.get("/imports/{import_id}", responses={404: {}})
def read_import(import_id: str) -> Report:
    with closing(connect()) as db:
        found = db.execute("select report from imports where id = ?", (import_id,))
        row = found.fetchone()
    if row is None:
        raise HTTPException(404, f"There is no import {import_id}.")
    return Report.model_validate_json(row[0])
