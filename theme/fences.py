"""What all of our fences have in common: how superfences calls them, figures, mistakes."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import cache, wraps
from typing import Any, TypeVar

from markdown import Markdown
from pymdownx.superfences import SuperFencesException

from recording import model

T = TypeVar("T")

Fence = Callable[..., str]


class Missing(SuperFencesException):  # type: ignore[misc]
    """A page names something that is not there; superfences lets only its own kind out."""

    def __init__(self, what: str, remedy: str) -> None:
        """Say what is wrong, and what to do."""
        super().__init__(f"{what}: {remedy}")
        self.what, self.remedy = what, remedy


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


@cache  # a build asks for each three times
def recorded(kind: type[T], name: str) -> T:
    """The recording of that name. Raises `Missing` if there is none."""
    try:
        return model.load(kind, name)
    except FileNotFoundError:
        names = (
            file.relative_to(model.RECORDINGS).with_suffix("").as_posix()
            for file in model.RECORDINGS.rglob("*.json")
        )
        remedy = nearest(name, names) or f"make record SCENE={name}"
        raise Missing(f"there is no recording of {name}", remedy) from None


def figure(svg: str, caption: str, scene: str = "") -> str:
    """A picture and what it was made with, as HTML; `scene` is found again by its name."""
    data = f' id="{anchor_of(scene)}" data-scene="{scene}"' if scene else ""
    told = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="timeline"{data}>{svg}{told}</figure>'


def nearest(name: str, names: Iterable[str]) -> str:
    """A question for the name that is meant, perhaps; empty: none is near."""
    found = get_close_matches(name, names, 1)
    return f"did you mean {found[0]}?" if found else ""


def anchor_of(scene: str) -> str:
    """Where a link to its figure leads, on the page of its example."""
    return scene.replace("/", "-")
