"""Follows the `console` blocks of a page as a reader would type them.

- What CONTRIBUTING types is typed in a copy of the project.
- ``$ uvicorn …`` and ``$ make serve`` start a server, on a free port in place of 8000;
  it runs until the next one, or the end of the page. ``uvicorn main:app`` serves a copy of
  the last whole file shown above it, alone in an empty folder.
- A queue's worker or scheduler, such as ``$ taskiq worker …``, is a second process beside it.
- ``$ docker compose … up …`` starts what the ``compose.yaml`` above it names, without Docker,
  and the processes after it are told where it is.
- Every other ``$`` line runs in bash, in a folder of its own, on a terminal; what it
  prints must be what is shown under it, to the letter except for ``...``. It may fail only
  where ``make`` is shown to say so.
- ``$ pytest …`` finds in that folder all whole files shown above it, named as they are;
  those of a project in the project's folder.
- Lines under the line that starts a process, and blocks without a ``$`` line, are what
  the terminal of the last one shows: it must print each of them, in this order, with
  anything between them.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any

import pexpect
import pytest
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from runner.needs import Needs, needs_of
from runner.process import (
    COLOUR,
    FAILURES,
    PYTHON,
    ROOT,
    Server,
    free_port,
    serve,
    start,
)
from tests.services import settings_of
from theme.example import FENCE
from workshop.copying import copied
from workshop.pages import EXAMPLES, target_of

PATIENCE = 30.0
"""Seconds that one waits for a line of a server."""

_PUBLISHED = "127.0.0.1:8000"
_BLOCK = RawFencedCodeBlockLexer(re.compile(r"console(?: [^\n]*)?\n"))


class Session:
    """The terminals of one page: a folder, and the server of the moment."""

    def __init__(self, *, in_a_copy: bool = False) -> None:
        """Open them in an empty folder, or in a copy of the project."""
        self.server: Server | None = None
        self._last: Server | None = None
        self._seen = 0
        self._missing = ""
        self.line = 0
        """Of the block, counted from 0: what is being typed, or waited for."""
        self._page = ExitStack()
        self._running = self._page.enter_context(ExitStack())
        self._env: dict[str, str] = {}
        self._example = ""
        self._prepared: list[Needs] = []
        self._folder = Path(self._page.enter_context(tempfile.TemporaryDirectory()))
        self._project = ROOT
        if in_a_copy:
            project = self._page.enter_context(tempfile.TemporaryDirectory())
            self._project = copied(Path(project) / "copy", installed=True)
            if (read := ROOT / ".mypy_cache").exists():  # or it reads for a minute
                with suppress(shutil.Error):  # of files that a mypy writes meanwhile
                    shutil.copytree(read, self._project / ".mypy_cache")

    def close(self) -> None:
        """Stop the server and remove the folder."""
        self._running.close()  # or it writes there meanwhile
        self._page.close()

    def play(self, block: str, shown: list[str]) -> None:
        """Type one block. Raises `AssertionError` where something else is printed.

        What follows a block that was skipped is skipped too.
        """
        if self._missing:
            pytest.skip(self._missing)
        try:
            self._play(block, shown)
        except pytest.skip.Exception as missing:
            self._missing = str(missing)
            raise

    def _play(self, block: str, shown: list[str]) -> None:
        commands = re.split(r"^\$ ", block, flags=re.MULTILINE)
        self.line = -1
        self._expect_of_server(commands[0])
        for number, command in enumerate(commands[1:], 1):
            self.line = "$ ".join(commands[:number]).count("\n")
            typed, _, output = re.sub(r"\\\n\s*", "", command).partition("\n")
            if typed.startswith(("uvicorn ", "make serve")):
                self._start(typed, shown)
            elif self._is_beside(typed):
                self._start_beside(typed)
            elif re.match("docker compose .*up", typed):
                self._prepare("examples.many_machines.app")
                continue
            else:
                if typed.startswith("pytest"):
                    self._copy(shown)
                self._type(typed, output)
                continue
            self._expect_of_server(output)

    def _copy(self, shown: list[str]) -> None:
        for file in shown:
            source = EXAMPLES / file
            if (source.parent / "app.py").exists():
                folder = self._folder / source.parent.name
                shutil.copytree(source.parent, folder, dirs_exist_ok=True)
            else:
                shutil.copy(source, self._folder)

    def _prepare(self, target: str) -> None:
        """Give an example, and what runs beside it, what they need; once in a page."""
        needs = needs_of(target)
        if needs not in self._prepared:
            self._prepared.append(needs)
            self._env |= settings_of(target, self._folder)

    def _is_beside(self, typed: str) -> bool:
        """Whether it is the program of the example's worker, and not what ends at once."""
        needs = needs_of(self._example) if self._example else Needs()
        words = typed.removeprefix("python -m ").split()
        programs = [part.partition(".")[0] for part in needs.worker[:1]]
        return words[0] in programs and words[-2:] != [*needs.prepare[-2:]]

    def _start_beside(self, typed: str) -> None:
        arguments = shlex.split(typed.removeprefix("python -m "))[1:]
        needs = needs_of(self._example)
        command = (*PYTHON, needs.worker[0], *arguments)
        beside = start(command, env=self._env, ready=needs.ready)
        self._last, self._seen = self._opened(beside), 0

    def _start(self, typed: str, shown: list[str]) -> None:
        self._running.close()
        self._seen = 0
        program, *arguments = shlex.split(typed)
        if program == "make":
            command = [program, *arguments, f"PORT={free_port()}"]
            server = start(command, cwd=self._project)
        elif arguments[0] == "main:app":
            assert shown, "no whole file above this block to copy to main.py"
            shutil.copy(EXAMPLES / shown[-1], self._folder / "main.py")
            self._example = target_of(EXAMPLES / shown[-1])
            self._prepare(self._example)
            server = serve(*arguments, cwd=self._folder, env=self._env)
        else:
            self._example = arguments[0]
            self._prepare(self._example)
            server = serve(*arguments, env=self._env)
        self.server = self._last = self._opened(server)

    def _opened(self, starting: AbstractContextManager[Server]) -> Server:
        server = self._running.enter_context(starting)
        server.expect(FAILURES)  # of which a page shows what it speaks of
        return server

    def _type(self, typed: str, output: str) -> None:
        here = typed
        if self.server:
            here = typed.replace(_PUBLISHED, self.server.url.removeprefix("http://"))
        in_project = typed.startswith("make ") or " examples." in typed
        printed, code = pexpect.run(
            shlex.join(["bash", "-c", here]),
            cwd=str(self._project if in_project else self._folder),
            timeout=240,  # ends what hangs
            encoding="utf-8",
            env=_surroundings(typed) | self._env,
            withexitstatus=True,
        )
        printed = COLOUR.sub("", printed)  # curl prints names in bold
        printed = self._as_published(printed.replace("\r", ""))
        may_fail = "make: ***" in output
        assert code == 0 or may_fail, (
            f"$ {typed} ended with {code}: it printed\n{printed}"
        )
        assert re.fullmatch(_pattern(output.rstrip()), printed.rstrip(), re.DOTALL), (
            f"$ {typed} prints something else: show that, with ... for what varies\n"
            f"{printed.rstrip()}"
        )

    def _expect_of_server(self, shown: str) -> None:
        for text in shown.splitlines():
            self.line += 1
            if text == "...":
                continue  # whatever comes before the next line
            assert self.server, f"no server to print {text!r}"
            assert self._last
            actual = text.replace(_PUBLISHED, self.server.url.removeprefix("http://"))
            pattern = f"^{_pattern(actual)}$"
            line = self._last.wait_for(
                pattern, start=self._seen, timeout=PATIENCE, shown=text
            )
            self._seen = self._last.lines.index(line, self._seen) + 1

    def _as_published(self, text: str) -> str:
        if self.server is None:
            return text
        return text.replace(self.server.url.removeprefix("http://"), _PUBLISHED)


def _surroundings(typed: str) -> dict[str, str]:
    """Those of the tests, less pytest's: a reader's pytest has none of our plugins.

    What `make` starts takes two processes: the tests beside it have the others.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if typed.startswith("make"):
        return {**inherited, "PATH": path, "PYTEST_ADDOPTS": "--numprocesses=2"}
    return {**inherited, "PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _pattern(shown: str) -> str:
    return re.escape(shown).replace(re.escape("..."), ".*")


def parse(document: Document) -> list[Region]:
    """Find the `console` blocks of a document, as sybil asks a parser to."""
    document.namespace["path"] = document.path
    regions = list(_BLOCK(document))
    for region in regions:
        files = FENCE.findall(document.text[: region.start])
        above = [file for file in files if file.endswith(".py")]
        region.parsed = region.lexemes["source"], above
        region.evaluator = evaluate
    return regions


def evaluate(example: Example) -> None:
    """Play one block in the session of its page. What is wrong is told with its line."""
    session = example.namespace["session"]
    try:
        session.play(*example.parsed)
    except AssertionError as error:
        page = Path(example.path).relative_to(ROOT)
        raise AssertionError(
            f"{page}:{example.line + 1 + session.line}: {error}"
        ) from None


def open_session(namespace: dict[str, Any]) -> None:
    """Before the first block of a page."""
    in_a_copy = Path(namespace["path"]).name == "CONTRIBUTING.md"
    namespace["session"] = Session(in_a_copy=in_a_copy)


def close_session(namespace: dict[str, Any]) -> None:
    """After the last block of a page."""
    namespace["session"].close()
