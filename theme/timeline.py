"""The `timeline` and `glance` fences: the recording of a scene, drawn.

The fence names a recorded scene, such as ``multiple_tasks/in_order``; one without a
recording fails the build. Under a `timeline` stands the Run button, if there is one; a
`glance` is the figure alone, for what is told on another page.
"""

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


def draw(run: Run) -> str:
    """The figure of a run, of one process or of several."""
    return processes.draw(run) if run.lives else one_process.draw(run)


def story(run: Run) -> str:
    """What that figure shows, in a few sentences."""
    return processes.story(run) if run.lives else one_process.story(run)
