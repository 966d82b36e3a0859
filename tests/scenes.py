"""Performs a scene again, with the servers of the tests, and compares."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recording.model import Act, Recording, Scene, load
from recording.shape import differences
from runner.needs import Needs, needs_of
from runner.performing import perform
from runner.scenes import SCENES
from runner.staging import QUEUES, Place, target_of
from tests.services import running, settings_of


def scenes(chosen: Callable[[Needs], bool]) -> pytest.MarkDecorator:
    """Run a test for each scene whose example needs such things."""
    params = []
    for name, scene in SCENES.items():
        needs = needs_of(target_of(scene))
        killed = scene.processes and (needs.packages or needs.service == "rabbitmq")
        marks = [pytest.mark.queues] if killed else []
        if chosen(needs if scene.processes else Needs()):
            params.append(pytest.param(name, marks=marks))
    return pytest.mark.parametrize("name", params)


def differences_of_another_run(name: str, folder: Path) -> list[str]:
    """What is different when the scene is performed now, a sentence each."""
    scene = SCENES[name]
    needs = needs_of(target_of(scene))
    settings = settings_of(target_of(scene), folder)
    service = running(needs.service) if needs.service else None
    place: Place | None = Place(service, settings)
    if service and (_kills_a_service(scene) or scene.service):
        place = None  # of its own: RabbitMQ must not die just after queues were deleted
    now = perform(scene, place).run
    return differences(now, load(Recording, name).run, scene.varies)


def _kills_a_service(scene: Scene) -> bool:
    acts = [step for step in scene.steps if isinstance(step, Act)]
    return any(act.does == "SIGKILL" and act.process in QUEUES.values() for act in acts)
