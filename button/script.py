"""The requests of a run as a reader writes them: lines as in a terminal.

A line is a request, `sleep 0.5`, or `wait-for PATTERN`, which waits until the server has
printed a line with it, the second time until it has printed another. A request is
written as `POST /orders {"item": "tea"}`, or as `curl` does it. A line begins when the
one before it has ended: a request when it is answered, or when it is sent if `&` ends it.
"""

import argparse
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from recording.model import Request, Scene

SERVER = "http://127.0.0.1:8000"
JSON = ("Content-Type", "application/json")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class ScriptError(ValueError):
    """A line that cannot be run: which, and why."""


@dataclass(frozen=True)
class Send:
    """A request, and whether the next line waits for its answer."""

    request: Request
    waits: bool = True


@dataclass(frozen=True)
class Sleep:
    """A pause."""

    seconds: float


@dataclass(frozen=True)
class WaitFor:
    """A pause that a printed line ends."""

    pattern: str
    nth: int = 1
    """How often it has been printed by then."""


Step = Send | Sleep | WaitFor


def parse(text: str) -> list[Step]:
    """Read the lines. Raises `ScriptError`."""
    steps: list[Step] = []
    waited_for: Counter[str] = Counter()
    for number, line in enumerate(_whole_lines(text), 1):
        word, _, rest = line.partition(" ")
        rest = rest.strip()
        try:
            if not line or line.startswith("#"):
                continue
            if word == "sleep":
                steps.append(Sleep(_seconds(rest)))
            elif word == "wait-for":
                waited_for[rest] += 1
                steps.append(WaitFor(_pattern(rest), waited_for[rest]))
            else:
                alone = line.removesuffix("&").rstrip()
                request = _of_curl(alone) if word == "curl" else _of_words(alone)
                steps.append(Send(request, waits=alone == line))
        except ValueError as error:
            raise ScriptError(f"Requests, line {number}: {error}") from None
    if not any(isinstance(step, Send) for step in steps):
        raise ScriptError("Requests: there is none. Write one, such as POST /task")
    return steps


def _whole_lines(text: str) -> Iterator[str]:
    """Lines without what surrounds them; a line that ends with a backslash goes on."""
    begun = ""
    for line in text.splitlines():
        begun += line.strip()
        if begun.endswith("\\"):
            begun = begun[:-1]
            yield ""  # keeps the numbers
        else:
            yield begun
            begun = ""


def lines(scene: Scene) -> str:
    """The same for a scene: there, no request waits for the answer of another."""
    return "\n".join(_lines(scene))


def _lines(scene: Scene) -> Iterator[str]:
    waited_for: Counter[str] = Counter()

    def wait(pattern: str, nth: int) -> Iterator[str]:
        while pattern and waited_for[pattern] < nth:
            waited_for[pattern] += 1
            yield f"wait-for {pattern}"

    for number, request in enumerate(scene.requests, 1):
        yield from wait(request.after, request.nth)
        if request.delay:
            yield f"sleep {request.delay:g}"
        words = [request.method, request.path]
        if request.json is not None:
            words.append(json.dumps(request.json))
        if number < len(scene.requests):
            words.append("&")
        yield " ".join(words)
    yield from wait(scene.until, scene.nth)


def shell(text: str) -> str:
    """The same lines for `sh` and `curl`. Raises `ScriptError`."""
    return "\n".join(["#!/bin/sh", *map(_of_shell, parse(text)), "wait", ""])


def _of_shell(step: Step) -> str:
    match step:
        case Sleep(seconds):
            return f"sleep {seconds:g}"
        case WaitFor(pattern):
            told = f"Press Enter when the server has printed: {pattern}"
            return f"printf '%s' {shlex.quote(told)}; read -r _"
    request = step.request
    words = ["curl", "-X", request.method, SERVER + request.path]
    headers, body = request.headers, request.body
    if request.json is not None:
        headers, body = (*headers, JSON), json.dumps(request.json)
    for name, value in headers:
        words += ["-H", f"{name}: {value}"]
    if body:
        words += ["--data-binary", body]
    return shlex.join(words) + ("" if step.waits else " &")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= 600:
        raise ScriptError(f"sleep wants seconds, 0 to 600, and not {text!r}")
    return seconds


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ScriptError(f"wait-for wants a regular expression: {error}") from None
    if not text:
        raise ScriptError("wait-for wants what the server prints")
    return text


def _of_words(line: str) -> Request:
    method, _, rest = line.partition(" ")
    path, _, body = rest.strip().partition(" ")
    if method.upper() not in _METHODS or not path.startswith("/"):
        raise ScriptError(
            "a request is a method and a path, such as POST /task, or a line of curl"
        )
    if not body.strip():
        return Request(method.upper(), path)
    try:
        return Request(method.upper(), path, json.loads(body))
    except json.JSONDecodeError as error:
        raise ScriptError(f"the body is not JSON: {error}") from None


class _Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ScriptError(f"curl: {message}")


_curl = _Arguments("curl", add_help=False, allow_abbrev=False)
_curl.add_argument("-X", "--request", default="")
_curl.add_argument("-H", "--header", action="append", default=[])
_curl.add_argument(
    *("-d", "--data", "--data-raw", "--data-binary", "--data-ascii"),
    action="append",
    default=[],
    dest="data",
)
_curl.add_argument("--json", action="append", default=[])
_curl.add_argument("-I", "--head", action="store_true")
for _flags in (
    ("-s", "--silent"),
    ("-S", "--show-error"),
    ("-i", "--include"),
    ("-v", "--verbose"),
    ("-N", "--no-buffer"),
    ("-L", "--location"),
    ("-f", "--fail"),
):
    _curl.add_argument(*_flags, action="store_true", help="changes what curl shows")
_curl.add_argument("url")


def _of_curl(line: str) -> Request:
    given = _curl.parse_args(shlex.split(line)[1:])
    url = urlsplit(given.url if "://" in given.url else f"http://{given.url}")
    headers = [_header(text) for text in given.header]
    body = "&".join(given.data) + "".join(given.json)
    names = {name.lower() for name, _ in headers}
    if given.json:
        headers += [JSON] * ("content-type" not in names)
    elif given.data and "content-type" not in names:
        headers.append(("Content-Type", "application/x-www-form-urlencoded"))
    method = given.request or ("HEAD" if given.head else "POST" if body else "GET")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return Request(method.upper(), path, headers=tuple(headers), body=body)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise ScriptError(f"curl: a header is NAME: VALUE, and not {text!r}")
    return name.strip(), value.strip()
