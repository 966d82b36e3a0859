"""What the suite was last run with, whole and green: it writes that itself, into a file."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from markdown import Markdown

from theme.fences import Missing, fence

FILE = Path(os.environ.get("LAST_RUN", Path(__file__).parent.parent / "last_run.json"))
"""Where it is kept; the tests of the site keep one of their own."""


@dataclass(frozen=True)
class LastRun:
    """What there was in that run, by name."""

    date: str
    """As ISO 8601 has it."""
    programs: dict[str, str]
    packages: dict[str, str]
    apart: dict[str, dict[str, str]]
    """Packages that do not go with the others, by the folder of the examples."""

    @property
    def day(self) -> str:
        """The date as one writes it."""
        day = date.fromisoformat(self.date)
        return f"{day.day} {day:%B %Y}"

    def save(self, file: Path = FILE) -> None:
        """Keep it in place of the one before."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def last_run() -> LastRun | None:
    """The one that is kept, if there is one."""
    return LastRun(**json.loads(FILE.read_text())) if FILE.exists() else None


@fence
def versions(part: str, _: Markdown) -> str:
    """When that was, or a table of its ``programs``, its ``packages``, or those ``apart``."""
    if part == "date":
        return f"<p>{when()}</p>"
    head = "<thead><tr><th>What</th><th>Version</th></tr></thead>"
    rows = "".join(
        f"<tr><td>{name}</td><td>{version}</td></tr>"
        for name, version in listed(part).items()
    )
    if not rows:
        return "<p>None is kept yet.</p>"
    table = f"<table>{head}<tbody>{rows}</tbody></table>"
    return f"<div data-search-exclude>{table}</div>"


def when() -> str:
    """On which day it was, in a sentence."""
    if not (run := last_run()):
        return "No such run is kept in this copy yet: <code>make test</code> keeps it."
    return f"The last such run was on {run.day}."


def listed(part: str) -> dict[str, str]:
    """Versions by name; none if no run is kept. Raises `Missing` if there is no such part."""
    run = last_run() or LastRun("", {}, {}, {})
    apart = {
        f"{folder}: {name}": version
        for folder, packages in run.apart.items()
        for name, version in packages.items()
    }
    parts = {"programs": run.programs, "packages": run.packages, "apart": apart}
    if part not in parts:
        raise Missing(f"a run has no {part}", f"date, {', '.join(parts)}")
    return parts[part]


def checked(part: str) -> None:
    """Raises `Missing` if there is no such part."""
    if part != "date":
        listed(part)
