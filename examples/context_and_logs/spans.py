"""FastAPI makes an OpenTelemetry span for each request and for each background task."""

import time

from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from starlette.background import BackgroundTask


def one_line(span: ReadableSpan) -> str:
    begin, end = span.start_time or 0, span.end_time or 0
    function = (span.attributes or {}).get("code.function.name", "")
    return f"{(end - begin) / 1e9:.1f} s {span.name} {function}\n"


provider = TracerProvider()
exporter = ConsoleSpanExporter(formatter=one_line)
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
app = FastAPI()


def send_receipt() -> None:
    time.sleep(0.5)  # stands in for a slow mail server
    trace_id = trace.get_current_span().get_span_context().trace_id
    print(f"send_receipt: trace {trace.format_trace_id(trace_id)}")


@app.post("/orders")
async def create_order(tasks: BackgroundTasks) -> None:
    tasks.add_task(send_receipt)


@app.post("/plain")
async def return_a_response() -> JSONResponse:
    return JSONResponse({}, background=BackgroundTask(send_receipt))
