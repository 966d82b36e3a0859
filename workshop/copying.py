"""A copy of the project in which something may be changed."""

import shutil
import subprocess
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
