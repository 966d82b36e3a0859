"""A task that is given an ORM object finds it detached from its closed session."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import Mapped, Session, mapped_column, registry

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(f"sqlite:///{folder.name}/orders.db")
tables = registry()


@tables.mapped
class Order:
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


tables.metadata.create_all(engine)


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.commit()


def send_receipt(order: Order) -> None:
    print(f"send_receipt: order {order.id}")


@app.post("/orders")
def create_order(
    session: Annotated[Session, Depends(open_session, scope="function")],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    session.add(order := Order())
    tasks.add_task(send_receipt, order)
    return {"message": "Task has been queued"}
