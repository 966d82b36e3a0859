"""Runs uvicorn as ``python -m uvicorn`` does, with an example that is observed.

`runner.record` gives it uvicorn's arguments; it writes one JSON event
per line to the file that the environment variable EVENTS names.
The example is imported after OpenTelemetry's provider is set, so FastAPI's own
spans of requests and background tasks are among the events.
"""

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TextIO

import uvicorn.main
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from runner.observe import (
    WORKER_PROCESS,
    Event,
    WatchedOutput,
    observed,
    run_watched,
    watch_output,
)


class Spans(SpanProcessor):
    """Reports FastAPI's spans of requests and of background tasks when they end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Report ``kind`` "request" or "task", with its times in seconds since the epoch."""
        assert span.start_time
        assert span.end_time
        attributes = span.attributes or {}
        times = {"start": span.start_time / 1e9, "end": span.end_time / 1e9}
        if span.kind is trace.SpanKind.SERVER:
            path = attributes.get("url.path")
            emit({"kind": "request", "path": path, **times})
        elif span.name == "fastapi.background_task":
            name = str(attributes["code.function.name"]).rpartition(".")[2]
            error = str(attributes.get("error.type", "")).rpartition(".")[2] or None
            emit({"kind": "task", "function": name, "error": error, **times})


_one_at_a_time = threading.Lock()


def emit(event: Event) -> None:
    """Write one event; threads may call it at the same time."""
    with _one_at_a_time:
        _file().write(json.dumps(event) + "\n")


@cache
def _file() -> TextIO:
    return open(os.environ["EVENTS"], "a", buffering=1)  # open to the end


_submit = ProcessPoolExecutor.submit


def _submit_observed(
    pool: ProcessPoolExecutor, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Future[Any]:
    return _submit(pool, call_observed, function, *args, **kwargs)


def call_observed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what a pool's process was asked to, and report the call and what it prints."""
    if not isinstance(sys.stdout, WatchedOutput):
        watch_output(emit)
    return observed(function, emit, lambda: WORKER_PROCESS)(*args, **kwargs)


def main() -> None:
    """Observe the example, then be uvicorn."""
    ProcessPoolExecutor.submit = _submit_observed  # type: ignore[assignment,method-assign]
    provider = TracerProvider()
    provider.add_span_processor(Spans())
    trace.set_tracer_provider(provider)
    name, _, _ = sys.argv[1].partition(":")
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    run_watched(Path(spec.origin).read_text(), module, emit)
    watch_output(emit)
    uvicorn.main.main(prog_name="uvicorn")
