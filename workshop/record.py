"""Performs scenes and keeps what happened: ``make record``.

By default those that are new, or whose example or requests have changed since. A run of
another shape is shown in words, and kept only with ``ACCEPT=1``.
"""

import argparse
import sys
from dataclasses import replace

from recording.model import Recording, load, path_of, save
from recording.shape import differences
from runner import ServerError
from runner.performing import perform, source_of
from runner.scenes import SCENES
from runner.services import Missing
from theme.fences import nearest
from workshop.pages import page_of_scene


def chosen(names: list[str], everything: bool) -> list[str]:
    """The scenes of those names or pages; without a name those to be recorded.

    Raises `LookupError` for a name that is neither.
    """
    pages = {name: page_of_scene(name, scene.example) for name, scene in SCENES.items()}
    if not names:
        return [name for name in SCENES if everything or is_due(name)]
    for name in names:
        if name not in [*SCENES, *pages.values()]:
            near = nearest(name, {*SCENES, *pages.values()})
            raise LookupError(
                f"no scene or page {name}: {near or 'see runner/scenes.py'}"
            )
    return [name for name in SCENES if {name, pages[name]} & {*names}]


def is_due(name: str) -> bool:
    """Whether there is no recording of the scene, or one of other requests or code."""
    if not path_of(name).exists():
        return True
    kept, scene = load(Recording, name), SCENES[name]
    return kept.scene != scene or kept.source != source_of(scene)


def record(name: str, accept: bool) -> bool:
    """Perform a scene, say what has changed, and keep it; false if it was not to be kept.

    The kept run stays if the new one has its shape.
    """
    print(f"{name}: ", end="", flush=True)
    try:
        now = perform(SCENES[name])
    except (Missing, ServerError) as error:
        print(f"FAILED: {error}")
        return False
    if not path_of(name).exists():
        print("new")
        save(name, now)
        return True
    kept = load(Recording, name)
    changed = differences(now.run, kept.run, now.scene.varies)
    print("ANOTHER SHAPE" if changed else "the same shape")
    for sentence in changed:
        print(f"  {sentence}")
    if changed and not accept:
        return False
    if changed or kept.scene != now.scene:
        save(name, now)
    elif kept.source != now.source:
        save(name, replace(kept, source=now.source))
    return True


def main() -> int:
    """Record; 1 if a run has another shape and was not kept, 2 for a wrong name."""
    parser = argparse.ArgumentParser(
        prog="make record",
        usage="make record [SCENE=page/name or page] [ALL=1] [ACCEPT=1]",
        description="Perform scenes and keep what happened. Without SCENE and ALL: those "
        "that are new, or whose example or requests have changed.",
    )
    parser.add_argument(
        "SCENE", nargs="*", help="a scene, or a page for all of its scenes"
    )
    parser.add_argument("--all", action="store_true", help="ALL=1: every scene")
    parser.add_argument(
        "--accept", action="store_true", help="ACCEPT=1: keep a run of another shape"
    )
    asked = parser.parse_args()
    try:
        names = chosen(asked.SCENE, asked.all)
    except LookupError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    refused = [name for name in names if not record(name, asked.accept)]
    if not names:
        print("nothing has changed; ALL=1 performs every scene")
    if refused:
        print("not kept; if another shape is intended:")
        for name in refused:
            print(f"  make record SCENE={name} ACCEPT=1")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
