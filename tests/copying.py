"""A copy of an example, to be changed by a test."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runner import Server, ServerError
from runner.process import ROOT
from tests.orders import ask_until


def with_changes(text: str, changes: Mapping[str, str]) -> str:
    """Replace each old text, which must be there, by its new one."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def last_line_of_pytest(
    folder: Path, *options: str, env: Mapping[str, str] | None = None
) -> str:
    """Run the tests in a folder as a reader would; the last line that they print."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    surroundings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # a reader has not got ours
    command = [sys.executable, "-m", "pytest", "-q", *options, "-p", "no:cacheprovider"]
    ended = subprocess.run(
        command,
        cwd=folder,
        env=surroundings | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=240,
    )
    return ended.stdout.splitlines()[-1]


def save_until(server: Server, pattern: str, file: Path) -> None:
    """Save a file again and again, until the process has printed that it noticed.

    It begins to watch a little later than it is ready.
    """

    def noticed() -> bool:
        with file.open("a") as opened:
            opened.write("\n")
        with suppress(ServerError):
            server.wait_for(pattern, timeout=2)
            return True
        return False

    ask_until(noticed, bool, 30)


def changed(
    settings: dict[str, str], folder: Path, target: str, changes: dict[str, str]
) -> dict[str, str]:
    """Change a copy of an example, which is then the module `changed`; the settings for it."""
    module = target.removesuffix(":app").replace(".", "/")
    text = with_changes((ROOT / f"{module}.py").read_text(), changes)
    (folder / "changed.py").write_text(text)
    path = ":".join(filter(None, [settings.get("PYTHONPATH"), str(folder)]))
    return settings | {"PYTHONPATH": path}
