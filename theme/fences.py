"""What all of our fences have in common: how superfences calls them, figures, mistakes."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from markdown import Markdown
from pymdownx.superfences import SuperFencesException

from recording import model

T = TypeVar("T")

Fence = Callable[..., str]


class FenceError(SuperFencesException):  # type: ignore[misc]
    """The fence names something that is not there; superfences lets only its own kind out."""


def fence(render: Callable[[str, Markdown], str]) -> Fence:
    """A custom fence as superfences calls it, from a function of the text in the fence."""

    @wraps(render)  # found by its name, which Zensical pickles
    def formatted(
        source: str,
        language: str,
        css_class: str,
        options: dict[str, Any],
        md: Markdown,
        **_: Any,
    ) -> str:
        return render(source.strip(), md)

    return formatted


def recorded(kind: type[T], name: str) -> T:
    """The recording of that name. Raises `FenceError` if there is none."""
    try:
        return model.load(kind, name)
    except FileNotFoundError:
        raise FenceError(f"there is no recording of {name}: make record") from None


def figure(svg: str, caption: str, scene: str = "") -> str:
    """A picture and what it was made with, as HTML; `scene` is found again by its name."""
    data = f' data-scene="{scene}"' if scene else ""
    return (
        f'<figure class="timeline"{data}>{svg}'
        f"<figcaption>{caption}</figcaption></figure>"
    )
