"""Draws the picture of README, light and dark, from a recording: ``make picture``."""

from recording.figure import draw
from recording.model import Recording, load
from runner.process import ROOT
from theme.picture import DARK, LIGHT, card

FILE = ROOT / "picture.svg"
SCENE = "def_or_async/blocking_call"
TITLE = "A blocking call in an async def task stops every other request"


def picture() -> str:
    """The picture, which takes the colours that its reader prefers."""
    style = f"{LIGHT}@media (prefers-color-scheme: dark) {{{DARK}}}"
    figure = draw(load(Recording, SCENE).run)
    return card(TITLE, "After the Response", figure, style) + "\n"


if __name__ == "__main__":
    FILE.write_text(picture())
