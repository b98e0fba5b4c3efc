"""Automatic triggers in rows and details: pure functions of a board, no terminal, no store."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from cockpit.cli.triggers import table
from cockpit.domain.trigger_reports import SampleRef, TriggerState
from tests.screen.objective_boards import NOW, board, desk, every_trigger, guard, trigger
from widgets.banner import banner
from widgets.board import Board
from widgets.line import cut, text_of, width
from widgets.line_view import safe
from widgets.symbols import to_ascii
from widgets.trigger_rows import (
    breach_words,
    reports,
    status_lines,
    trigger_details,
    trigger_heading,
    trigger_line,
    wanted_order,
)

BOTH = pytest.mark.parametrize("cells", [80, 120])
WORDS = {
    "api-errors": "● CLEAR",
    "data-stale": "◇ NEAR 50%",
    "drawdown": "◆ NEAR 75%",
    "daily-loss": "▲ NEAR 90%",
    "latency": "■ BREACHED",
    "settlement": "? MISSING",
}


def rows(shown: Board, cells: int) -> dict[str, str]:
    return {each.rule: text_of(trigger_line(shown, each, cells - 1)) for each in reports(shown)}


@BOTH
def test_each_state_is_a_word_and_a_symbol_of_its_own(cells: int) -> None:
    found = rows(board(None, desk(guard())), cells)
    for rule, words in WORDS.items():
        assert found[rule].startswith(words)
        assert to_ascii(found[rule]).isascii()
    assert {len(row) for row in found.values()} == {len(found["latency"])}
    assert len(found["latency"]) <= cells - 1
    assert width(trigger_heading(cells - 1)) <= cells


@BOTH
def test_a_row_says_value_threshold_samples_and_mode(cells: int) -> None:
    found = rows(board(None, desk(guard())), cells)
    assert "420 / 300 ms" in found["latency"]
    assert "140 %" in found["latency"]
    assert "12/10" in found["latency"]
    assert "shadow" in found["drawdown"]
    assert "- / 300 ms" in found["settlement"]
    assert "0/10" in found["settlement"]
    if cells == 120:
        assert "4 min" in found["daily-loss"]
        assert "trip execution*" in found["daily-loss"]
        assert "NOW" in found["latency"]


def test_missing_is_never_clear_and_has_no_distance() -> None:
    shown = board(None, desk(guard()))
    line = trigger_line(shown, every_trigger()[-1], 119)
    assert "·" * 5 in text_of(line)
    assert not any(style == "trading" for _, style in line)


def test_nearest_first_and_missing_before_what_is_far() -> None:
    assert wanted_order(board(None, desk(guard()))) == (
        "latency", "daily-loss", "settlement", "drawdown", "data-stale", "api-errors",
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize("how", ["dead", "postgres"])
def test_what_a_silent_guard_said_is_what_was(how: str, cells: int) -> None:  # I25
    dead = guard(alive=False, age_s=40.0)
    shown = (
        board(None, desk(dead)) if how == "dead" else replace(board(None, desk(guard())), desk_error="gone")
    )
    for row in rows(shown, cells).values():
        assert row.startswith("? was ")
    for each in reports(shown):
        assert {style for _, style in trigger_line(shown, each, cells)} == {"stale"}
    said = text_of(status_lines(shown, (), cells)[0])
    assert "STALE" in said
    assert "nothing here is what is now" in said


def test_no_guard_is_said_in_the_banner_and_since_when() -> None:
    text = "\n".join(text_of(line) for line in banner(board(None, desk(guard(alive=False, age_s=120.0)))))
    assert "NOTHING TRIPS BY ITSELF: guard silent since 03:14 (2 min)" in text
    assert "NOTHING TRIPS BY ITSELF" not in "\n".join(
        text_of(line) for line in banner(board(None, desk(guard())))
    )
    never = text_of(status_lines(board(), (), 80)[0])
    assert "no guard has ever run here: nothing trips by itself" in never


def test_details_show_the_samples_that_did_it() -> None:
    shown = board(None, desk(guard()))
    text = "\n".join(text_of(line) for line in trigger_details(shown, every_trigger()[4], 76))
    for part in (
        "trips component:execution by itself (live)", "order-17", "411.5 ms", "fired     03:16 on BTC-USD",
        "12 of at least 10", "420 of 300 ms",
    ):  # fmt: skip
        assert part in text, part
    quiet = "\n".join(text_of(line) for line in trigger_details(shown, every_trigger()[2], 76))
    assert "only says so: shadow mode; live it trips component:execution" in quiet
    assert "never, as far as this guard knows" in quiet


@BOTH
def test_a_rule_that_is_not_armed_is_off_and_not_clear(cells: int) -> None:
    off = trigger("reject-in-incident", TriggerState.CLEAR, None, why="no P0 incident is open")
    shown = board(None, desk(guard(off)))
    line = trigger_line(shown, off, cells - 1)
    assert text_of(line).startswith("○ OFF ")
    assert not any(style == "trading" for _, style in line)
    assert text_of(trigger_details(shown, off, 76)[0]).startswith("○ OFF ")
    said = text_of(status_lines(shown, (), cells)[0])
    assert "1 OFF" in said
    assert "CLEAR" not in said


@BOTH
def test_a_rule_that_is_over_says_when_it_fires(cells: int) -> None:
    over = trigger("latency", TriggerState.NEAR_90, 1.0, breach_in_s=58.0)
    shown = board(None, desk(guard(over)))
    row = text_of(trigger_line(shown, over, cells - 1))
    assert row.startswith("▲ OVER ")
    assert "fires in 58 s" in row
    assert "▲ OVER, fires in 58 s" in text_of(trigger_details(shown, over, 76)[0])
    assert "▲ OVER, fires in 58 s" in table((over,), True)[1]
    long = replace(over, breach_in_s=900.0)
    assert "in 15 min" in text_of(trigger_line(shown, long, cells - 1))


@pytest.mark.parametrize(("fraction", "words"), [(0.49, "-"), (0.5, "4 min"), (None, "-")])
def test_the_time_to_a_breach_is_said_from_half_of_the_way(fraction: float | None, words: str) -> None:
    assert breach_words(trigger("drift", TriggerState.CLEAR, fraction, breach_in_s=240.0)) == words


def test_a_rule_aimed_at_global_says_what_it_halts() -> None:
    aimed = every_trigger()[3]
    text = "\n".join(text_of(line) for line in trigger_details(board(None, desk(guard())), aimed, 100))
    assert "trips component:execution (for global) by itself (live), P0 + page" in text
    assert "trip component:execution (for global), P0 + page" in table((aimed,), True)[1]


def test_faults_of_the_guard_are_shown() -> None:
    broken = guard(faults=("triggers.toml: rule 3: no threshold",))
    assert any(
        "rule 3: no threshold" in text_of(line) for line in status_lines(board(None, desk(broken)), (), 80)
    )


@pytest.mark.parametrize(
    "text", ["[@click=app.quit]x[/]", "\x1b[2J\x9b31m", "\u202egnitart", "止まれ🚨" * 30]
)
@BOTH
def test_text_of_a_guard_never_acts(text: str, cells: int) -> None:  # I26
    bad = trigger(
        text, TriggerState.BREACHED, 1e12, title=text, subject=text, unit=text, aim=text, effect=text,
        mode=text, why=text, fired_on=text, fired_at=NOW, evidence=(SampleRef(text, NOW, -1e300),),
    )  # fmt: skip
    shown = board(None, desk(guard(bad, holder=text, faults=(text,))))
    lines = [trigger_line(shown, bad, cells - 1), *trigger_details(shown, bad, cells)]
    for line in (*lines, *status_lines(shown, (), cells)):
        drawn = "".join(safe(part) for part, _ in cut(line, cells))
        assert drawn.isprintable()
        assert cell_len(drawn) <= cells
