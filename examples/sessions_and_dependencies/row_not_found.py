"""The session commits after yield, too late for the task that looks for its row."""

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column, registry

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(os.environ.get("DATABASE_URL", f"sqlite:///{folder.name}/db"))
tables = registry()


@tables.mapped
class Order:
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.commit()
        print("session: committed")


tables.metadata.create_all(engine)
CurrentSession = Annotated[Session, Depends(open_session)]


def send_receipt(order_id: int) -> None:
    with Session(engine) as session:
        print(f"send_receipt: found {session.get(Order, order_id) is not None}")


@app.post("/orders")
def create_order(session: CurrentSession, tasks: BackgroundTasks) -> dict[str, int]:
    session.add(order := Order())
    session.flush()
    tasks.add_task(send_receipt, order.id)
    return {"id": order.id}
