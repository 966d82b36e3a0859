"""What create_task starts has no span, but the trace of its request: make one in it."""

import asyncio

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor


def one_line(span: ReadableSpan) -> str:
    begin, end = span.start_time or 0, span.end_time or 0
    context = span.get_span_context()
    trace_id = trace.format_trace_id(context.trace_id) if context else ""
    return f"{(end - begin) / 1e9:.1f} s {span.name} {trace_id}\n"


provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=one_line)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer(__name__)
app = FastAPI()
running: set[asyncio.Task[None]] = set()


async def refresh_prices() -> None:
    with tracer.start_as_current_span("refresh_prices"):
        await asyncio.sleep(0.5)  # stands in for a slow shop


@app.post("/prices")
async def start_refreshing() -> None:
    task = asyncio.create_task(refresh_prices())
    running.add(task)
    task.add_done_callback(running.discard)
