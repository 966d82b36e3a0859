"""The instrumentation package makes the spans in FastAPI's place, one for each task too."""

import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from starlette.background import BackgroundTask


def one_line(span: ReadableSpan) -> str:
    begin, end = span.start_time or 0, span.end_time or 0
    return f"{(end - begin) / 1e9:.1f} s {span.status.status_code.name} {span.name}\n"


provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=one_line)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
app = FastAPI()
FastAPIInstrumentor.instrument_app(app)


def send_receipt(address: str) -> None:
    time.sleep(0.5)  # stands in for a slow mail server
    if "@" not in address:
        raise ValueError(f"{address} is no address")


@app.post("/orders")
async def create_order(
    tasks: BackgroundTasks, address: str = "ada@example.com"
) -> None:
    tasks.add_task(send_receipt, address)


@app.post("/plain")
async def return_a_response() -> JSONResponse:
    task = BackgroundTask(send_receipt, "ada@example.com")
    return JSONResponse({}, background=task)
