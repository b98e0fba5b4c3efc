"""Help, the palette, the footer, the words in empty fields: without a terminal or stores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cockpit.domain.permissions import Identity, Role
from cockpit.keymap import (
    APP_KEYS,
    INCIDENT_SCREEN_KEYS,
    OVERVIEW_KEYS,
    PANELS,
    RECONCILIATION_SCREEN_KEYS,
    SECTIONS,
    help_sections,
)
from cockpit.screens.panel import footer_line, pinned
from tests.screen.conftest import cockpit
from tests.screen.test_rows import board
from tests.trading_platform import Platform
from widgets.dialog import NotesInput
from widgets.line import text_of
from widgets.symbols import Alphabet, example
from widgets.views import LinesDialog, help_lines


@pytest.mark.parametrize(
    ("here", "title"),
    [
        (OVERVIEW_KEYS, "Panel 1: overview"),
        (INCIDENT_SCREEN_KEYS, "Panel 3: incidents"),
        (RECONCILIATION_SCREEN_KEYS, "Panel 4: reconciliation"),
    ],
)
def test_help_begins_where_one_is_and_leaves_nothing_out(here: tuple[object, ...], title: str) -> None:
    sections = help_sections({}, here)  # type: ignore[arg-type]
    names = [name for name, _ in sections]
    assert names[:3] == [f"{title} · where you are", "Panels", "Everywhere"]
    assert title not in names[1:]
    told = {words for _, keys in sections for _, words in keys}
    assert told >= {key.help for _, keys in SECTIONS for key in keys}
    lines = help_lines(sections, 76)
    assert all(sum(len(text) for text, _ in line) <= 76 for line in lines)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("cells", [80, 100, 120])
def test_the_footer_names_the_kill_switch_to_those_whom_it_serves(role: Role, cells: int) -> None:
    """However many keys work at that moment, on every panel."""
    shown = replace(board(), identity=Identity("x", "p", role))
    for _, keys in (*SECTIONS[1:8], ("resting", ())):
        named = [*pinned(shown), *(key for key in (*keys, *PANELS, *APP_KEYS) if key.footer)]
        line = text_of(footer_line(named, named, cells))
        assert line.startswith(" [ctrl+k] KILL ") is (role is Role.SAFETY_ADMIN), line
        assert line.count("KILL") == (role is Role.SAFETY_ADMIN) and len(line) <= cells
        assert "[?] help" in line or (cells == 80 and "approvals" in line), line
    assert pinned(board()) == ()  # nobody knows yet who it is


def test_the_words_of_an_empty_field_are_not_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert NotesInput(shows="type KILL").placeholder == "‹type KILL›"
    assert NotesInput().placeholder == ""
    monkeypatch.setattr(Alphabet, "ascii", True)
    assert example("type KILL") == "<type KILL>"


async def test_help_pages_by_screens_and_the_palette_offers_what_works_here(platform: Platform) -> None:
    async with cockpit(platform) as screen:
        await screen.until(lambda: screen.app.board.identity is not None)
        await screen.press("4", "question_mark")
        await screen.shows("PANEL 4: RECONCILIATION · WHERE YOU ARE")
        dialog = screen.app.screen
        assert isinstance(dialog, LinesDialog)
        last = screen.top().splitlines()[-2]
        await screen.press("pagedown")
        assert screen.top().splitlines()[1] == last
        await screen.press("escape")
        commands = {each.title: each.help for each in screen.app.get_system_commands(screen.app.screen)}
        assert commands["Acknowledge an open incident"] == "ack: a"
        assert [title for title in commands if title.startswith("Trip")] in ([], ["Trip the instrument"])
        assert not any(title.startswith("Kill switch") for title in commands), "an operator may not"
        assert "[3] incidents" in screen.top() and "[4]" not in screen.top()
