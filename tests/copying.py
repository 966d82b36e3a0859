"""Copies of the project, and of one example, to be changed by a test."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from runner.process import ROOT

INSTALLED = (".venv", ".cache", "node_modules", "theme/overrides/assets/run")
"""What `make install` has made."""


def copied(folder: Path, *, installed: bool = False) -> Path:
    """Copy the project's files into a folder, and return it.

    With what is `installed`, shared with the project, `make` has nothing to install there,
    and git knows the files.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.check_output(command, cwd=ROOT, text=True)
    for name in filter(lambda name: (ROOT / name).exists(), listed.splitlines()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)  # older than what was made of it
    if installed:
        subprocess.check_call(["git", "init", "--quiet"], cwd=folder)
        subprocess.check_call(["git", "add", "--all"], cwd=folder)
        for name in INSTALLED:
            if (ROOT / name).exists():
                (folder / name).symlink_to(ROOT / name)
    return folder


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
        timeout=60,
    )
    return ended.stdout.splitlines()[-1]


def changed(
    settings: dict[str, str], folder: Path, target: str, changes: dict[str, str]
) -> dict[str, str]:
    """Change a copy of an example, which is then the module `changed`; the settings for it."""
    module = target.removesuffix(":app").replace(".", "/")
    text = with_changes((ROOT / f"{module}.py").read_text(), changes)
    (folder / "changed.py").write_text(text)
    path = ":".join(filter(None, [settings.get("PYTHONPATH"), str(folder)]))
    return settings | {"PYTHONPATH": path}
