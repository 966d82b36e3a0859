"""The `timeline`, `glance` and `playground` fences: what was recorded, and can be run again.

The fence names a recorded scene, such as ``multiple_tasks/in_order``; one without a
recording fails the build. Under a `timeline` stands the Run button, if there is one; a
`glance` is the figure alone, for what is told on another page; a `playground` is the
example with its requests, to be changed.
"""

from pathlib import Path

from markdown import Markdown

from button import markup
from recording import figure as one_process
from recording import processes
from recording.model import Recording, Run
from theme.fences import fence, figure, recorded


@fence
def timeline(name: str, _: Markdown) -> str:
    """The figure of a scene, and its button."""
    recording = recorded(Recording, name)
    caption = f"Recorded with {recording.made_with}."
    return figure(draw(recording.run), caption, name) + markup.button(recording.scene)


@fence
def glance(name: str, _: Markdown) -> str:
    """The figure of a scene, and nothing else."""
    return figure(draw(recorded(Recording, name).run), "")


@fence
def playground(name: str, _: Markdown) -> str:
    """The example of a scene, its requests, and what runs them."""
    scene = recorded(Recording, name).scene
    file = Path(__file__).parent.parent / "examples" / f"{scene.example}.py"
    return markup.playground(scene, file.read_text())


def draw(run: Run) -> str:
    """The figure of a run, of one process or of several."""
    return processes.draw(run) if run.lives else one_process.draw(run)


def story(run: Run) -> str:
    """What that figure shows, in a few sentences."""
    return processes.story(run) if run.lives else one_process.story(run)
