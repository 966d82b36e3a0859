"""A session asked for with the scope and without it is two sessions in one request."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(f"sqlite:///{folder.name}/shop.db")


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


CurrentSession = Annotated[Session, Depends(open_session, scope="function")]


def session_of_user(session: Annotated[Session, Depends(open_session)]) -> Session:
    return session  # a dependency that somebody forgot to change


def session_of_cart(session: CurrentSession) -> Session:
    return session


@app.get("/sessions")
def count_sessions(
    session: CurrentSession,
    of_user: Annotated[Session, Depends(session_of_user)],
    of_cart: Annotated[Session, Depends(session_of_cart)],
) -> int:
    return len({session, of_user, of_cart})
