"""Runs an example under an older FastAPI or uvicorn, to show what has changed since."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runner import Server
from runner.process import ROOT, start


@contextmanager
def serve_with_fastapi(version: str, target: str) -> Iterator[Server]:
    """Run ``uvicorn TARGET`` with that FastAPI and the Starlette that it asks for."""
    with _serve(f"fastapi-{version}", "fastapi", target) as server:
        yield server


@contextmanager
def serve_with_uvicorn(version: str, target: str) -> Iterator[Server]:
    """Run ``uvicorn TARGET`` of that version."""
    with _serve(f"uvicorn-{version}", "uvicorn", target) as server:
        yield server


@contextmanager
def _serve(folder: str, package: str, target: str) -> Iterator[Server]:
    name = f".cache/{folder}"
    if not (ROOT / name / package).exists():
        pytest.skip(f"needs {folder}: make {name}")
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0"]
    env = {"PYTHONPATH": str(ROOT / name)}
    with start(command, env=env, fork=package != "uvicorn") as server:
        yield server
