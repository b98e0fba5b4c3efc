"""What a page of an incident's first minutes derives from one reading."""

from __future__ import annotations

from datetime import timedelta

from tests.screen.incident_pages import BOOK, OTHER, minutes, page
from tests.screen.objective_boards import NOW


def test_the_best_playbook_stands_first_and_all_can_be_turned_to() -> None:
    made = page()
    assert made.chosen is not None and made.chosen.playbook is BOOK
    assert made.offered() == (BOOK, OTHER)
    assert [ticked.done for ticked in made.steps(BOOK)][:2] == [False, None]
    empty = page(playbooks=())
    assert empty.chosen is None and empty.offered() == ()


def test_the_table_of_who_must_hear_needs_the_story() -> None:
    assert len(page().communication) == 4
    assert page(story=None, story_fault="away").communication == ()


def test_its_clock_is_that_of_the_reading_carried_on() -> None:
    made = page(minutes())
    assert made.incident_id == made.minutes.incident_id
    assert (made.age_s(90.0), made.age_s(104.5)) == (0.0, 4.5)
    assert made.now(104.5) == NOW + timedelta(seconds=4.5)
