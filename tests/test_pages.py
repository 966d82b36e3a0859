"""What reading alone finds wrong in a page: nothing."""

import pytest

from workshop.mistakes import mistakes_of, mistakes_of_nav
from workshop.pages import PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_what_is_there_and_can_be_found(page: str):
    found = mistakes_of(page)
    assert not found, "\n".join(map(str, found))


def test_the_nav_names_pages_that_are_there():
    assert mistakes_of_nav() == []
