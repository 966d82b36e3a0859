"""Spans are sent from a thread, every five seconds; the lifespan sends what is left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, FastAPI
from mangum import Mangum
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter


def one_line(span: ReadableSpan) -> str:
    return f"sent: {span.name}\n"


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=one_line)))
trace.set_tracer_provider(provider)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(provider.force_flush)


app = FastAPI(lifespan=lifespan)
handler = Mangum(app)
without_lifespan = Mangum(app, lifespan="off")


def send_receipt() -> None:
    print("send_receipt: done")


@app.post("/orders", status_code=202)
async def create_order(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(send_receipt)
    return {"message": "A receipt will be sent"}
