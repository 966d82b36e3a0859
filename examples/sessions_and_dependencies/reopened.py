"""A closed session that a task uses takes a connection that nobody gives back."""

from collections.abc import Iterator
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import QueuePool, create_engine, text
from sqlalchemy.orm import Session

app = FastAPI()
folder = TemporaryDirectory()
engine = create_engine(f"sqlite:///{folder.name}/orders.db", poolclass=QueuePool)
sessions: list[Session] = []  # stands in for whatever still refers to a session


def open_session() -> Iterator[Session]:
    with Session(engine) as session:
        yield session
        sessions.append(session)


def refresh_totals(session: Session) -> None:
    session.execute(text("select 1"))
    print("refresh_totals: done")


@app.post("/totals")
def update_totals(
    session: Annotated[Session, Depends(open_session, scope="function")],
    tasks: BackgroundTasks,
) -> dict[str, str]:
    tasks.add_task(refresh_totals, session)
    return {"message": "Task has been queued"}


@app.get("/pool")
async def read_pool() -> dict[str, str]:
    return {"pool": engine.pool.status()}
