"""Pictures for those who link to a page, and README's."""

import io
import re

import pytest
from PIL import Image

from recording.figure import draw
from recording.model import Recording, load
from theme.picture import HEIGHT, WIDTH, card
from workshop.pages import DOCS, PAGES
from workshop.pictures import README, SCENE, of_readme, png


def test_the_picture_of_readme_is_drawn_from_its_recording():
    assert README.read_text() == of_readme(), "make picture"


def drawn(title: str, figure: str) -> Image.Image:
    return Image.open(io.BytesIO(png(card(title, "Site", figure)))).convert("RGB")


def colours(image: Image.Image, box: tuple[int, int, int, int]) -> set[object]:
    return {*image.crop(box).get_flattened_data()}


def test_a_picture_has_title_figure_and_name_in_colours():
    whole = drawn("A title", draw(load(Recording, SCENE).run))
    assert whole.size == (WIDTH, HEIGHT)
    ink, event_loop, response = (32, 33, 36), (181, 61, 0), (0, 105, 92)
    title, figure, name = (0, 20, WIDTH, 120), (0, 150, WIDTH, 540), (0, 550, 400, 620)
    assert ink in colours(whole, title)
    assert {event_loop, response} <= colours(whole, figure)
    assert response in colours(whole, name)
    assert event_loop not in colours(drawn("A title", ""), figure)


def test_a_long_title_is_three_lines():
    svg = card("words that go on " * 12, "Site", "")
    lines = re.findall(r'class="title"[^>]*>([^<]+)<', svg)
    assert len(lines) == 3
    assert lines[-1].endswith(" …")


@pytest.mark.parametrize("name", PAGES)
def test_the_title_of_a_page_fits(name: str):
    heading = re.findall("^# (.+)$", (DOCS / f"{name}.md").read_text(), re.MULTILINE)[0]
    image = drawn(heading.replace("`", ""), "")
    assert colours(image, (WIDTH - 40, 20, WIDTH, 300)) == {(255, 255, 255)}


def test_a_tall_figure_is_drawn_smaller():
    tall = '<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{}"></svg>'
    scales = [
        float(
            re.findall(r"scale\(([\d.]+)\)", card("A", "Site", tall.format(height)))[0]
        )
        for height in (50, 300, 2000)
    ]
    assert scales[0] > scales[1] > scales[2] > 1
