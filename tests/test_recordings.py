"""The recordings still tell the truth, and the figures tell what the recordings say."""

import copy
import json
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from runner import bench
from runner.latency import NAME
from runner.record import load, perform
from runner.scenes import SCENES
from runner.server import ROOT
from runner.shape import shape
from tests.site.pages import page_of
from theme.figure import draw, story

every_scene = pytest.mark.parametrize("name", SCENES)


@pytest.mark.slow
@every_scene
def test_a_scene_performed_again_has_the_shape_of_its_recording(name: str):
    assert shape(perform(SCENES[name])) == shape(load(name))


@every_scene
def test_a_recording_is_of_the_scene_as_it_is_now(name: str):
    assert load(name)["scene"] == json.loads(json.dumps(asdict(SCENES[name])))


def test_every_scene_is_recorded_and_shown_on_the_page_of_its_example():
    recordings = {*(ROOT / "docs/recordings").rglob("*.json")} - {bench.RECORDING}
    assert {f"{f.parent.name}/{f.stem}" for f in recordings} == {*SCENES, NAME}
    for name, scene in SCENES.items():
        page = ROOT / "docs" / f"{page_of(scene.example)}.md"
        assert f"```timeline\n{name}\n```" in page.read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"lane": "event loop"},
        {"function": "another"},
        {"error": "ValueError"},
        {"end": 0.0},
        {"start": 0.0},
    ],
    ids=str,
)
def test_another_lane_name_error_end_or_overlap_is_another_shape(change):
    recording = load("multiple_tasks/in_order")
    other = copy.deepcopy(recording)
    other["tasks"][1] |= change
    assert shape(other) != shape(recording)


@every_scene
def test_a_figure_has_a_bar_for_every_wait_and_function_in_its_lane(name: str):
    recording = load(name)
    svg = ElementTree.fromstring(draw(recording))
    names = [text.text for text in svg.iter() if text.get("class") == "name"]
    for task in recording["tasks"]:
        assert any(text.startswith(task["function"]) for text in names)
    assert len(names) == len(recording["tasks"]) + len(recording["requests"])
    failed = [b for b in svg.iter() if "failed" in b.get("class", "")]
    assert bool(failed) == any(task["error"] for task in recording["tasks"])
    dots = [dot for dot in svg.iter() if dot.get("class") == "print"]
    assert len(dots) == len(recording["printed"])


def test_the_text_alternative_tells_the_story():
    recording = load("multiple_tasks/first_failure")
    recording["requests"][0] |= {"sent": 0.0, "received": 0.02}
    recording["tasks"][0] |= {"start": 0.021, "end": 0.022}
    assert story(recording) == (
        "The client has the response to POST /multi-task after 20 ms. "
        "send_welcome_email runs in the thread pool from 21 ms to 22 ms "
        "and fails with ConnectionError."
    )
