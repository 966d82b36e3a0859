"""A task raises, and the dependency rolls back what the client was told is done."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(f"sqlite:///{folder.name}/orders.db")
with engine.begin() as connection:
    connection.execute(text("create table orders (item text)"))


def open_session() -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        yield session  # begin() commits, or rolls back if an exception comes here


def send_receipt() -> None:
    raise ConnectionError("the mail server refused the connection")


@app.post("/orders")
def create_order(
    session: Annotated[Session, Depends(open_session)], tasks: BackgroundTasks
) -> dict[str, str]:
    session.execute(text("insert into orders values ('tea')"))
    tasks.add_task(send_receipt)
    return {"message": "Order has been saved"}


@app.get("/orders")
def count_orders() -> dict[str, int | None]:
    with Session(engine) as session:
        return {"orders": session.scalar(text("select count(*) from orders"))}
