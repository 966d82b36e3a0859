"""`make serve`: what is changed is shown, what is wrong is said, and it ends when told."""

import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import psutil
import pytest

from runner import Server, client
from runner.process import free_port, start
from workshop.copying import copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FEW = {"index", "conclusion", "multiple-tasks", "restarts"}
"""Pages that are built again and again: all would take longer."""

LONG = 120.0
"""Seconds after which something does not happen any more."""


def make_serve(
    folder: Path, port: int, ready: str | None = None
) -> AbstractContextManager[Server]:
    """`make serve` in a copy of the project, with what is installed for the tests."""
    made = ["--old-file=.venv/for-site", "runtime="]
    command = ["make", "serve", *made, f"in_venv={Path(sys.executable).parent}/"]
    return start([*command, f"PORT={port}"], cwd=folder, ready=ready)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with a few of its pages; the tests take back what they change."""
    folder = copied(tmp_path_factory.mktemp("project") / "copy")
    for page in (folder / "docs").rglob("*.md"):
        if page.stem not in FEW:
            page.unlink()
    return folder


@pytest.fixture(scope="module")
def writing(folder: Path) -> Iterator[Server]:
    """`make serve` there, started while a page was broken."""
    page = folder / "docs/conclusion.md"
    text = page.read_text()
    page.write_text(f"{text}\n```proof\ntests/test_conclusion.py::test_no_such\n```\n")
    with make_serve(folder, free_port(), r"Serving on (http://[\w.]+:\d+)") as server:
        server.wait_for(re.escape("docs/conclusion.md:"))
        shown(server, "/conclusion/", "there is no test_no_such in")
        page.write_text(text)
        shown(server, "/conclusion/", "there is no test_no_such in", there=False)
        server.expect("SyntaxError: invalid syntax")  # where a test breaks the theme
        yield server


def shown(server: Server, path: str, text: str, there: bool = True) -> None:
    """Wait until a page has, or has no more, a text. Each answer comes at once."""
    deadline = time.monotonic() + LONG
    while (text in client.get(server.url + path).text) != there:
        assert time.monotonic() < deadline, f"{path}: {text}"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("part", "old", "new", "where"),
    [
        ("docs/index.md", "# After the", "# Long after the", "/"),
        ("examples/multiple_tasks/in_order.py", "create_", "draw_", "/multiple-tasks/"),
        (
            "theme/overrides/assets/site.css",
            ":root",
            ":root, html",
            "/assets/site.css",
        ),
        ("theme/proof.py", "<summary>", "<summary >", "/multiple-tasks/"),
    ],
)
def test_a_change_is_shown_without_a_restart(
    writing: Server, folder: Path, part: str, old: str, new: str, where: str
):
    file = folder / part
    text = file.read_text()
    before = client.get(writing.url + where).text
    file.write_text(text.replace(old, new))
    shown(writing, where, before, there=False)
    file.write_text(text)
    shown(writing, where, before)


def test_a_browser_that_shows_a_page_is_told_to_load_it_again(
    writing: Server, folder: Path
):
    page = folder / "docs/restarts.md"
    text = page.read_text()
    with client.stream("GET", f"{writing.url}/livereload", timeout=LONG) as news:
        page.write_text(f"{text}\n\nNew.\n")
        assert next(line for line in news.iter_lines() if line.startswith("data"))
        shown(writing, "/restarts/", "<p>New.</p>")
    page.write_text(text)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("theme/proof.py", "def proof(:"), ("mkdocs.yml", "nav: [")],
    ids=["theme", "configuration"],
)
def test_a_build_that_breaks_says_why_and_is_mended(
    writing: Server, folder: Path, part: str, wrong: str
):
    file = folder / part
    text = file.read_text()
    file.write_text(f"{text}\n{wrong}\n")
    shown(writing, "/", "<h1>Not built</h1>")
    assert part in client.get(writing.url).text
    file.write_text(text)
    shown(writing, "/", "After the Response")
    shown(writing, "/", "Not built", there=False)


def test_a_taken_port_is_a_sentence_and_an_end(folder: Path):
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = other.getsockname()[1]
        with make_serve(folder, port) as server:
            assert server.wait() == 2  # make's own
        said = [line.text for line in server.lines]
    assert f"port {port}: Address already in use: make serve PORT={port + 1}" in said
    assert "Traceback" not in "".join(said)


@pytest.mark.parametrize(
    ("end", "sent"),
    [(os.killpg, SIGINT), (os.kill, SIGTERM), (os.kill, SIGKILL)],
    ids=["Ctrl-C", "SIGTERM to make", "SIGKILL to make"],
)
def test_it_ends_with_a_reader_connected_and_leaves_no_process(
    folder: Path, end: Callable[[int, Signals], None], sent: Signals
):
    """Ctrl-C in a terminal reaches all; a program that ends `make` reaches it alone."""
    port = free_port()
    with make_serve(folder, port) as server:
        until(lambda: answers(port), "listens")
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert family
        with client.stream("GET", f"http://127.0.0.1:{port}/livereload") as news:
            next(news.iter_lines())
            end(server.process.pid, sent)
            until(lambda: not any(map(psutil.Process.is_running, family)), "ended")
        assert not answers(port)
        server.wait()
        assert "Traceback" not in server.transcript()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def until(happened: Callable[[], bool], what: str) -> None:
    """Wait for it. Raises `AssertionError` if it does not happen."""
    deadline = time.monotonic() + LONG
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
