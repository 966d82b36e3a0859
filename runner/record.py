"""Performs the scenes under a real uvicorn and keeps what happened: ``make record``."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from runner import latency
from runner.observe import calls, printed, since
from runner.scenes import SCENES, Request, Scene
from runner.server import ROOT, Server, serve_module
from runner.shape import shape

RECORDINGS = ROOT / "docs" / "recordings"

Recording = dict[str, Any]


def perform(scene: Scene) -> Recording:
    """Run a scene once. All times are in seconds from the sending of the first request.

    ``scene``: what was performed.
    ``requests``: what the client saw, and when the server had handed the response over.
    ``tasks``: the functions that ran, each background task with what it called.
    ``printed``: the lines of the example's standard output.
    """
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder, "events")
        events.touch()
        target = f"examples.{scene.example.replace('/', '.')}:app"
        watched = ("runner.observed", target, "--port", "0")
        with serve_module(*watched, env={"EVENTS": str(events)}) as server:
            requests = _send(scene, server)
            if scene.until:
                server.wait_for(scene.until)
            server.stop(timeout=30)  # uvicorn waits for running tasks
        seen = [json.loads(line) for line in events.read_text().splitlines()]
    begin = requests[0]["sent"]
    return {
        "scene": asdict(scene),
        **made_with("fastapi", "starlette", "uvicorn"),
        "requests": _requests(requests, seen, begin),
        "tasks": _tasks(seen, begin),
        "printed": printed(seen, begin),
    }


def made_with(*packages: str) -> dict[str, Any]:
    return {
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "cores": os.cpu_count(),
    }


def _send(scene: Scene, server: Server) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        for request in scene.requests:  # before the first is used: it takes a while
            clients.append(
                clients[-1]
                if request.same_connection
                else stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
            )
        threads = stack.enter_context(ThreadPoolExecutor(len(clients)))
        answers = []
        for client, request in zip(clients, scene.requests, strict=True):
            if request.after:
                server.wait_for(request.after)
            time.sleep(request.delay)
            answers.append(threads.submit(_answer, client, request))
        return [answer.result() for answer in answers]


def _answer(client: httpx.Client, request: Request) -> dict[str, Any]:
    seen: dict[str, Any] = {"method": request.method, "path": request.path}
    seen |= {"left": request.leaves, "status": None, "error": None, "body": ""}
    seen["sent"] = time.time()
    try:
        with client.stream(request.method, request.path, json=request.json) as response:
            seen["status"] = response.status_code
            time.sleep(request.pause)
            body = b"" if request.leaves else response.read()
            seen["body"] = body.decode() if len(body) < 1000 else f"{len(body)} bytes"
    except httpx.TransportError as error:
        seen["error"] = type(error).__name__
    seen["received"] = time.time()
    return seen


def _requests(
    requests: list[dict[str, Any]], seen: list[dict[str, Any]], begin: float
) -> list[dict[str, Any]]:
    handed = [e for e in seen if e["kind"] == "request"]
    for request in requests:
        own = min(
            (e for e in handed if e["path"] == request["path"]),
            key=lambda e: abs(e["start"] - request["sent"]),
        )
        handed.remove(own)
        request["handed_over"] = since(begin, own["end"])
        request["sent"] = since(begin, request["sent"])
        request["received"] = since(begin, request["received"])
    return requests


def _tasks(seen: list[dict[str, Any]], begin: float) -> list[dict[str, Any]]:
    """What was called since then, checked against FastAPI's spans, which see no lambda and no partial."""
    tasks = [call for call in calls(seen, begin) if call["start"] >= 0]
    called = {task["function"] for task in tasks}
    for span in (e for e in seen if e["kind"] == "task" and e["function"] in called):
        start, end = since(begin, span["start"]), since(begin, span["end"])
        inside = [
            (task["function"], task["error"])
            for task in tasks
            if start <= task["start"] and task["end"] <= end
        ]
        never_called = not inside and span["error"] == "TypeError"
        assert never_called or (span["function"], span["error"]) in inside, (
            span,
            tasks,
        )
    return tasks


def load(name: str) -> Recording:
    """The stored recording of a scene."""
    recording: Recording = json.loads((RECORDINGS / f"{name}.json").read_text())
    return recording


def main() -> None:
    """Perform every scene, measure, and rewrite the recordings; say how each changed."""
    for number, (name, scene) in enumerate(SCENES.items(), 1):
        print(f"[{number:2}/{len(SCENES)}] {name} …", end=" ", flush=True)
        file = RECORDINGS / f"{name}.json"
        before = shape(load(name)) if file.exists() else None
        recording = perform(scene)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(recording, indent=1) + "\n")
        same = {None: "new", shape(recording): "the same shape"}
        print(same.get(before, "ANOTHER SHAPE than before"))
    print(f"{latency.NAME} …")
    series = latency.measure(rounds=3, pings=10)
    measured = {**made_with("fastapi", "uvicorn"), "series": series}
    latency.RECORDING.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
