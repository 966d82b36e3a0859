"""One trace from the request into the job; `OTEL_TRACES_EXPORTER=console` prints it."""

import os

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor


def one_line(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context
    return f"trace {trace.format_trace_id(context.trace_id)}: {span.name}\n"


if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
    provider = TracerProvider()
    exporter = ConsoleSpanExporter(formatter=one_line)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
