"""Runs an example under an older FastAPI, to show what has changed since."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runner import Server
from runner.process import ROOT, start


@contextmanager
def serve_with_fastapi(version: str, target: str) -> Iterator[Server]:
    """Run ``uvicorn TARGET`` with that FastAPI and the Starlette that it asks for."""
    name = f".cache/fastapi-{version}"
    if not (ROOT / name / "fastapi").exists():
        pytest.skip(f"needs FastAPI {version}: make {name}")
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0"]
    with start(command, env={"PYTHONPATH": str(ROOT / name)}) as server:
        yield server
