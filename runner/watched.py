"""Runs uvicorn with an example that is watched: ``python -m runner.watched TARGET``.

Writes one event of `recording.watching` per line, as JSON, to the file that the environment
variable EVENTS names. The example runs as ``python -m uvicorn TARGET --port 0`` runs it.
"""

import ast
import importlib.util
import os
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from recording.watching import (
    WORKER_PROCESS,
    WatchedApp,
    WatchedOutput,
    appending,
    execute,
    watch_output,
    watched,
)

emit = appending(os.environ["EVENTS"])

_submit = ProcessPoolExecutor.submit


def _submit_watched(
    pool: ProcessPoolExecutor, function: Callable[..., Any], *args: Any, **kwargs: Any
) -> Future[Any]:
    return _submit(pool, call_watched, function, *args, **kwargs)


def call_watched(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call what a pool's process was asked to, and report the call and what it prints."""
    if not isinstance(sys.stdout, WatchedOutput):
        watch_output(emit)
    return watched(function, emit, lambda: WORKER_PROCESS)(*args, **kwargs)


def main() -> None:
    """Watch the example, and serve it on a free port."""
    ProcessPoolExecutor.submit = _submit_watched  # type: ignore[assignment,method-assign]
    name, _, attribute = sys.argv[1].partition(":")
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    execute(ast.parse(Path(spec.origin).read_text()), module, emit)
    watch_output(emit)
    app = WatchedApp(getattr(module, attribute), emit)
    uvicorn.run(app, port=0, use_colors=False)  # its log is told from what is printed


if __name__ == "__main__":
    main()
