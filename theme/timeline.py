"""The `timeline` fence: the recording of a scene, drawn.

The fence names a recorded scene, such as ``multiple_tasks/in_order``; one without a
recording fails the build. Under the figure stands the Run button, if its runtime has
been built and the scene is one that a browser reproduces.
"""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, tostring

from markdown import Markdown
from pymdownx.superfences import SuperFencesException

from theme.figure import draw

RECORDINGS = Path(__file__).parent.parent / "docs" / "recordings"
RUNTIME = Path(__file__).parent / "overrides" / "assets" / "run" / "env.zip"


class TimelineError(SuperFencesException):  # type: ignore[misc]
    """The fence names a scene that has not been recorded."""


def fence(
    source: str,
    language: str,
    css_class: str,
    options: dict[str, Any],
    md: Markdown,
    **_: Any,
) -> str:
    """Render one timeline, as superfences asks a custom fence to."""
    name = source.strip()
    recording = recorded(name)
    button = _button(recording["scene"]) if RUNTIME.is_file() else ""
    return (
        f'<figure class="{css_class}" data-scene="{name}">{draw(recording)}'
        f"<figcaption>Recorded with {made_with(recording)}.</figcaption>"
        f"</figure>{button}"
    )


def recorded(name: str) -> dict[str, Any]:
    """The recording of that name. Raises `TimelineError` if there is none."""
    file = RECORDINGS / f"{name}.json"
    if not file.is_file():
        raise TimelineError(f"timeline: there is no recording of {name}: make record")
    recording: dict[str, Any] = json.loads(file.read_text())
    return recording


def made_with(recording: dict[str, Any]) -> str:
    """What a recording was made with, for its caption."""
    used = ", ".join(f"{what} {v}" for what, v in recording["versions"].items())
    return f"{used}; {recording['cores']} cores"


def _button(scene: dict[str, Any]) -> str:
    """The element that runs the scene in the page, unless the imitation would mislead."""
    if scene["not_in_browser"]:
        return ""
    element = Element(
        "run-scene",
        {
            "example": scene["example"],
            "requests": json.dumps(scene["requests"]),
            "megabytes": RUNTIME.with_name("megabytes.txt").read_text(),
        },
    )
    return tostring(element, encoding="unicode", short_empty_elements=False)
