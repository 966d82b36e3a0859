"""Firefox as it is shipped, by WebDriver BiDi, and WebKitGTK, by WebDriver.

Playwright drives builds of its own of both. geckodriver, which selenium wants for
Firefox, is neither on PyPI nor in Debian. All that is needed here is to go to a page
and to run a script in it: one request each.
"""

import itertools
import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest
from websockets.sync.client import ClientConnection, connect

from runner.clients import new_client
from runner.process import free_port
from runner.services import Service

FORBIDDEN = """
    globalThis.forbidden = []
    addEventListener("securitypolicyviolation", event => {
        forbidden.push(`${event.effectiveDirective}: ${event.blockedURI}`)
        console.error(forbidden.at(-1))
    })
"""
"""Keeps in a page what its Content-Security-Policy has forbidden from then on, and logs it."""
PATIENCE = 120
"""Seconds that a script in a page may take: Python loads slowly where much else runs."""


class Window(Protocol):
    """One window of a browser."""

    version: str

    def go(self, url: str) -> None:
        """Load a page, which keeps in `forbidden` what its policy forbids.

        All of it, and in WebKit what comes after the page has been loaded.
        """

    def call(self, script: str, *args: str) -> Any:
        """What an ``async`` function with that body and `args` returns, which is JSON."""


def wrapped(script: str, args: tuple[str, ...]) -> str:
    """An expression whose promise has the value as JSON, or begins with `Error`."""
    values = ", ".join(map(json.dumps, args))
    return (
        f"(async args => {{ {script} }})([{values}])"
        ".then(value => JSON.stringify(value ?? null), error => `Error ${error}`)"
    )


def unwrapped(text: str) -> Any:
    """The value in it."""
    assert not text.startswith("Error"), text
    return json.loads(text)


class _Firefox:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        session = self._send("session.new", capabilities={})
        self.version = f"Firefox {session['capabilities']['browserVersion']}"
        tree = self._send("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]
        keep = f"() => {{ {FORBIDDEN} }}"
        self._send("script.addPreloadScript", functionDeclaration=keep)

    def _send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(
            json.dumps({"id": number, "method": method, "params": params})
        )
        while True:
            answer = json.loads(self._socket.recv(PATIENCE))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def go(self, url: str) -> None:
        self._send(
            "browsingContext.navigate", context=self._context, url=url, wait="complete"
        )

    def call(self, script: str, *args: str) -> Any:
        result = self._send(
            "script.evaluate",
            expression=wrapped(script, args),
            target={"context": self._context},
            awaitPromise=True,
        )
        return unwrapped(result["result"]["value"])


@contextmanager
def firefox(folder: Path) -> Iterator[Window]:
    """A headless Firefox whose profile is in that folder. Skips where there is none."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.skip("needs Firefox (Debian: apt install firefox-esr)")
    port = free_port()
    options = ["--remote-debugging-port", str(port), "--profile", str(folder)]
    command = [program, "--headless", *options, "about:blank"]
    with (
        _running(command, port, folder),
        connect(f"ws://127.0.0.1:{port}/session", max_size=None, proxy=None) as socket,
    ):
        yield _Firefox(socket)


class _WebKit:
    def __init__(self, port: int, program: Path) -> None:
        self._client = new_client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE + 30
        )
        options = {"binary": str(program), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = self._send("/session", capabilities=wanted)
        self.version = f"WebKitGTK {session['capabilities']['browserVersion']}"
        self._session = f"/session/{session['sessionId']}"
        self._send(f"{self._session}/timeouts", script=PATIENCE * 1000)

    def _send(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def go(self, url: str) -> None:
        self._send(f"{self._session}/url", url=url)
        self.call(FORBIDDEN)

    def call(self, script: str, *args: str) -> Any:
        script = f"{wrapped(script, args)}.then(arguments[0])"
        return unwrapped(
            self._send(f"{self._session}/execute/async", script=script, args=[])
        )

    def close(self) -> None:
        with suppress(AssertionError):
            self._client.delete(self._session)
        self._client.close()


@contextmanager
def webkit(folder: Path) -> Iterator[Window]:
    """A WebKit on a display that nobody sees. Skips where there is none."""
    driver, xvfb = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    programs = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
    if driver is None or xvfb is None or not programs:
        pytest.skip("needs WebKit (Debian: apt install webkit2gtk-driver xvfb)")
    screen, port = free_port(), free_port()
    display = f":{screen - 6000}"
    command = [xvfb, display, "-listen", "tcp", "-screen", "0", "1280x1000x24"]
    with (
        _running(command, screen, folder),
        _running([driver, f"--port={port}"], port, folder, DISPLAY=display),
        closing(_WebKit(port, programs[-1])) as window,
    ):
        yield window


@contextmanager
def _running(command: list[str], port: int, folder: Path, **env: str) -> Iterator[None]:
    service = Service([command], {"HOME": str(folder), **env}, port, folder)
    service.start()
    try:
        yield
    finally:
        service.kill()
