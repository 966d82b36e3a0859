"""Runs an example under an older FastAPI or uvicorn, to show what has changed since."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest

from runner import Server
from runner.process import ROOT, start


def serve_with_fastapi(
    version: str, target: str, env: Mapping[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Run ``uvicorn TARGET`` with that FastAPI and the Starlette that it asks for."""
    return _serve("fastapi", version, target, env or {})


def serve_with_uvicorn(version: str, target: str) -> AbstractContextManager[Server]:
    """Run ``uvicorn TARGET`` of that version."""
    return _serve("uvicorn", version, target, {})


@contextmanager
def _serve(
    package: str, version: str, target: str, env: Mapping[str, str]
) -> Iterator[Server]:
    name = f".cache/{package}-{version}"
    if not (ROOT / name / package).exists():
        pytest.skip(f"needs {package} {version}: make {name}")
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0"]
    path = filter(None, [str(ROOT / name), env.get("PYTHONPATH")])
    env = {**env, "PYTHONPATH": ":".join(path)}
    with start(command, env=env, fork=package != "uvicorn") as server:
        yield server
