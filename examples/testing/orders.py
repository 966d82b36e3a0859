"""An app under test whose task writes to a database, in a session of its own."""

import os
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

app = FastAPI()
folder = TemporaryDirectory()
sqlite = f"sqlite:///{folder.name}/orders.db"
engine = create_engine(os.environ.get("DATABASE_URL", sqlite))
Sessions = sessionmaker[Session]


def new_sessions() -> Sessions:
    return sessionmaker(engine)


def note_receipt(sessions: Sessions, order: int) -> None:
    with sessions.begin() as session:
        session.execute(
            text("insert into receipts (order_id) values (:order)"), {"order": order}
        )


@app.post("/orders/{order}", status_code=202)
def create_order(
    order: int,
    tasks: BackgroundTasks,
    sessions: Annotated[Sessions, Depends(new_sessions)],
) -> dict[str, int]:
    tasks.add_task(note_receipt, sessions, order)
    return {"order": order}
