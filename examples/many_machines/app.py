"""The app answers when RabbitMQ has the job on disk; without RabbitMQ it answers 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from taskiq.exceptions import SendTaskError
from taskiq_aio_pika import AioPikaBroker

from .database import DATABASE, Order, Table, get_session
from .tasks import broker, send_receipt

OrderId = Annotated[int, Path(gt=0, lt=2**31)]
Session = Annotated[AsyncSession, Depends(get_session)]


class NewOrder(BaseModel):
    item: str = Field(min_length=1, max_length=100, pattern="^[ -~]+$")


class State(NewOrder):
    model_config = ConfigDict(from_attributes=True)
    receipt: str
    attempts: int
    error: str | None  # for you, not for clients


class Health(BaseModel):
    workers: int
    waiting: int
    dead: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(DATABASE)
    async with engine.begin() as connection:  # better: a migration before the start
        await connection.run_sync(Table.metadata.create_all)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    if not broker.is_worker_process:  # there it is started already
        await broker.startup()
    yield
    if not broker.is_worker_process:
        await broker.shutdown()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.put(
    "/orders/{order_id}",
    status_code=202,
    response_model=State,
    responses={409: {}, 503: {}},
)
async def place_order(order_id: OrderId, new: NewOrder, session: Session) -> Order:
    if order := await session.get(Order, order_id):  # a client that asks again
        if order.item != new.item:
            raise HTTPException(409, f"Order {order_id} is of {order.item}.")
        return order
    order = Order(id=order_id, item=new.item)
    session.add(order)
    try:
        await session.flush()
        async with asyncio.timeout(3):
            await send_receipt.kiq(order_id)
    except IntegrityError:
        raise HTTPException(409, f"Order {order_id} is being placed.") from None
    except (SendTaskError, TimeoutError):
        detail = "Orders cannot be taken right now. Please try again."
        raise HTTPException(503, detail, headers={"Retry-After": "5"}) from None
    await session.commit()
    return order


@app.get("/orders/{order_id}", response_model=State, responses={404: {}})
async def read_order(order_id: OrderId, session: Session) -> Order:
    if order := await session.get(Order, order_id):
        return order
    raise HTTPException(404, f"There is no order {order_id}.")


@app.get("/health", responses={503: {}})
async def health() -> Health:
    assert isinstance(broker, AioPikaBroker)
    assert broker.write_conn
    try:
        async with asyncio.timeout(2), broker.write_conn.channel() as channel:
            jobs = await channel.declare_queue("receipts", passive=True)
            dead = await channel.declare_queue("receipts.dead", passive=True)
    except (TimeoutError, ConnectionError, RuntimeError):
        raise HTTPException(503, "RabbitMQ does not answer.") from None
    told = jobs.declaration_result
    return Health(
        workers=told.consumer_count or 0,
        waiting=told.message_count or 0,
        dead=dead.declaration_result.message_count or 0,
    )
