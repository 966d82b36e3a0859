"""The recordings of what goes through RabbitMQ still tell the truth."""

from pathlib import Path

import pytest

from tests.scenes import differences_of_another_run, scenes


@pytest.mark.slow
@scenes(lambda needs: needs.service == "rabbitmq")
def test_a_scene_performed_again_has_the_shape_of_its_recording(
    name: str, tmp_path: Path
):
    found = differences_of_another_run(name, tmp_path)
    assert not found, "\n".join(
        [*found, f"if intended: make record SCENE={name} ACCEPT=1"]
    )
