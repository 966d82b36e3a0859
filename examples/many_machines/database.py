"""What app and worker share: the orders, and a session for endpoints and jobs."""

import os
import time
from collections.abc import AsyncGenerator
from tempfile import gettempdir
from typing import Annotated

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from taskiq import TaskiqDepends

DATABASE = os.environ.get("DATABASE", f"sqlite+aiosqlite:///{gettempdir()}/shop.db")
FORGOTTEN = float(os.environ.get("FORGOTTEN", "300"))  # seconds; longer than a job


def later() -> float:
    """When a job that is sent or begun now would count as forgotten."""
    return time.time() + FORGOTTEN


class Table(DeclarativeBase):
    pass


class Order(Table):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    item: Mapped[str]
    receipt: Mapped[str] = mapped_column(default="waiting")  # "sent" or "failed"
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
    due: Mapped[float] = mapped_column(default=later)


async def get_session(
    request: Annotated[Request, TaskiqDepends()],
) -> AsyncGenerator[AsyncSession, None]:
    async with request.app.state.sessions() as session:
        yield session
