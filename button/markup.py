"""What a page holds of the Run button: the element that ``element.js`` brings to life."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from button.script import lines
from recording.model import Scene

BUILT = Path(__file__).parent.parent / "theme" / "overrides" / "assets" / "run"
"""The folder that ``build.mjs`` makes. Without it no page has a button."""


def button(scene: Scene) -> str:
    """The element that runs the scene, unless it has several processes or would mislead."""
    if not scene.runs_in_browser or not BUILT.is_dir():
        return ""
    element = Element(
        "run-scene",
        {
            "example": scene.example,
            "requests": lines(scene),
            "megabytes": (BUILT / "megabytes.txt").read_text(),
        },
    )
    return tostring(element, encoding="unicode", short_empty_elements=False)


def playground(scene: Scene, code: str) -> str:
    """The element that runs what a reader writes, with an example in it to begin with."""
    megabytes = (BUILT / "megabytes.txt").read_text() if BUILT.is_dir() else ""
    element = Element("run-playground", {"megabytes": megabytes})
    for name, text in (("main.py", code), ("Requests", lines(scene))):
        rows = str(max(text.count("\n") + 1, 5))
        label = SubElement(element, "label")
        label.text = name
        area = SubElement(label, "textarea", rows=rows, spellcheck="false")
        area.text = text
        area.set("aria-label", name)
    return tostring(element, encoding="unicode", short_empty_elements=False)
