"""A stream reads rows from the session; with scope="function" it is closed by then."""

import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(os.environ.get("DATABASE_URL", f"sqlite:///{folder.name}/db"))
QUERY = text("select 1 union select 2 union select 3")


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        print("session: closed")


def read_rows(session: Session) -> Iterator[str]:
    for row in session.scalars(QUERY):
        yield f"row {row}\n"
    print(f"read_rows: done, in a transaction: {session.in_transaction()}")


@app.get("/rows")
def stream_rows(
    session: Annotated[Session, Depends(open_session)],
) -> StreamingResponse:
    return StreamingResponse(read_rows(session), media_type="text/plain")


@app.get("/rows-too-late")
def stream_rows_too_late(
    session: Annotated[Session, Depends(open_session, scope="function")],
) -> StreamingResponse:
    return StreamingResponse(read_rows(session), media_type="text/plain")
