"""The commit fails after the task: the mail is sent, and there is no account."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(f"sqlite:///{folder.name}/accounts.db")


class Table(DeclarativeBase):
    pass


class Account(Table):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


Table.metadata.create_all(engine)


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        session.commit()  # only now does the database see the new account


def send_welcome(name: str) -> None:
    print(f"send_welcome: sent to {name}")


@app.post("/accounts/{name}")
def create_account(
    name: str,
    session: Annotated[Session, Depends(open_session)],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    session.add(Account(name=name))
    tasks.add_task(send_welcome, name)
    return {"message": f"Welcome, {name}"}


@app.post("/committed-accounts/{name}", responses={500: {}})
def create_committed_account(
    name: str,
    session: Annotated[Session, Depends(open_session, scope="function")],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    session.add(Account(name=name))
    tasks.add_task(send_welcome, name)
    return {"message": f"Welcome, {name}"}
