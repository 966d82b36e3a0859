"""Runs an example under an older FastAPI or uvicorn, to show what has changed since."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from runner import Server
from runner.process import ROOT, start


def serve_with_fastapi(
    version: str, target: str, env: dict[str, str] | None = None
) -> AbstractContextManager[Server]:
    """Run ``uvicorn TARGET`` with that FastAPI and the Starlette that it asks for.

    Of `env` it takes PYTHONPATH.
    """
    return _serve("fastapi", version, target, **(env or {}))


def serve_with_uvicorn(version: str, target: str) -> AbstractContextManager[Server]:
    """Run ``uvicorn TARGET`` of that version."""
    return _serve("uvicorn", version, target)


@contextmanager
def _serve(
    package: str, version: str, target: str, PYTHONPATH: str = ""
) -> Iterator[Server]:
    name = f".cache/{package}-{version}"
    if not (ROOT / name / package).exists():
        pytest.skip(f"needs {package} {version}: make {name}")
    command = [sys.executable, "-m", "uvicorn", target, "--port", "0"]
    env = {"PYTHONPATH": f"{ROOT / name}:{PYTHONPATH}"}
    with start(command, env=env, fork=package != "uvicorn") as server:
        yield server
