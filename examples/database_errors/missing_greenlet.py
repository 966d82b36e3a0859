"""After a commit an object of an async session cannot be read any more."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from fastapi import BackgroundTasks, FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

folder = TemporaryDirectory()
sqlite = f"sqlite+aiosqlite:///{folder.name}/orders.db"
engine = create_async_engine(os.environ.get("DATABASE_URL", sqlite))


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    item: Mapped[str]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def save(session: AsyncSession, item: str) -> Order:
    order = Order(item=item)
    session.add(order)
    await session.commit()
    return order


async def send_expired(item: str) -> None:
    async with AsyncSession(engine) as session:
        order = await save(session, item)
        print(f"send_expired: {order.item}")


async def send_kept(item: str) -> None:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        order = await save(session, item)
        print(f"send_kept: {order.item}")


@app.post("/expired/{item}")
async def expired(item: str, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_expired, item)
    return {"message": "Task has been queued"}


@app.post("/kept/{item}")
async def kept(item: str, tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_kept, item)
    return {"message": "Task has been queued"}
