"""Objectives in rows, strip, details and banner: pure functions of a board, no terminal, no store."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from cockpit.domain.breakers import BreakerId
from cockpit.domain.budgets import BudgetState, Counts
from cockpit.domain.desk import IncidentRow
from cockpit.domain.reasons import Reason
from cockpit.domain.slo_reports import SloReport
from cockpit.domain.states import State
from cockpit.domain.text import justification
from cockpit.showing import Showing
from tests.screen.objective_boards import (
    EXECUTION,
    NOW,
    board,
    counted,
    desk,
    every_state,
    exclusion,
    limit,
    read,
    report,
    slo,
    snapshot,
)
from widgets.banner import MOST, banner
from widgets.board import SLOS_STALE_AFTER_S, Board
from widgets.breaker_rows import breaker_row, row_line
from widgets.halts_due import due, proposal
from widgets.held_order import RESTED_S, HeldOrder
from widgets.line import cut, text_of, width
from widgets.line_view import safe
from widgets.size_words import limits_about, size_why
from widgets.slo_details import report_lines
from widgets.slo_rows import fired_words, slo_heading, slo_line, status_lines, wanted_order
from widgets.slo_signs import STYLE, amount, burn_words, gauge, percent, shown_state, sparkline
from widgets.slo_strip import strip
from widgets.symbols import to_ascii

GOOD = frozenset({"trading", "good", "banner-good"})
BOTH = pytest.mark.parametrize("cells", [80, 120])
WORDS = {
    "feed-green": "● GREEN HEALTHY",
    "bars-yellow": "◆ YELLOW CAUTION",
    "latency-orange": "▲ ORANGE HALF SIZE",
    "orders-red": "■ RED HALT DUE",
    "idle": "○ NO TRAFFIC",
    "silent": "? NO DATA",
    "old": "? STALE",
    "torn": "≠ CONTRADICTION",
}


def rows(shown: Board, cells: int) -> dict[str, str]:
    assert shown.slos is not None
    return {each.name: text_of(slo_line(shown, each, cells - 1)) for each in shown.slos.reports}


def details(shown: Board, name: str, cells: int = 76) -> str:
    assert shown.slos is not None
    found = shown.slos.report(name)
    assert found is not None
    return "\n".join(text_of(line) for line in report_lines(shown, found, cells))


@BOTH
@pytest.mark.parametrize("name", list(WORDS))
def test_each_state_is_a_word_and_a_symbol_of_its_own(name: str, cells: int) -> None:
    row = rows(board(snapshot()), cells)[name]
    assert row.startswith(WORDS[name])
    assert len(set(WORDS.values())) == len(WORDS)
    assert to_ascii(row).isascii()
    assert "?" not in to_ascii(row).removeprefix("?")


@pytest.mark.parametrize("cells", [60, 80, 100, 112, 120, 150, 200])
def test_rows_and_heading_fit_and_stand_under_each_other(cells: int) -> None:
    shown = board(snapshot())
    assert shown.slos is not None
    lines = [slo_line(shown, each, cells - 1) for each in shown.slos.reports]
    assert len({width(line) for line in lines}) == 1
    if cells >= 80:
        assert all(width(line) <= cells - 1 for line in lines)
    at = text_of(slo_heading(cells - 1)).index("AGE") - 1
    assert {text_of(line)[at - 1 : at] for line in lines} == {" "}
    assert text_of(lines[0])[at:].strip() == "3 s"


@pytest.mark.parametrize("state", ["silent", "old", "torn", "idle"])
@BOTH
def test_what_is_not_known_is_never_green(state: str, cells: int) -> None:  # I25
    shown = board(snapshot())
    assert shown.slos is not None
    found = shown.slos.report(state)
    assert found is not None
    spans = [*slo_line(shown, found, cells - 1), *strip(board(snapshot(found)), cells)]  # type: ignore[arg-type]
    assert not any(style in GOOD for _, style in spans)
    assert not any("GREEN" in text or "healthy" in text for text, _ in spans)


@BOTH
@pytest.mark.parametrize("how", ["old", "failed"])
def test_a_reading_that_does_not_come_leaves_nothing_green(how: str, cells: int) -> None:  # I25
    old = board(snapshot(), age_s=SLOS_STALE_AFTER_S + 1) if how == "old" else board(snapshot())
    if how == "failed":
        old = replace(old, slos_error="connection refused")
    assert old.slos is not None
    for each in old.slos.reports:
        assert shown_state(old, each) is BudgetState.STALE
        assert text_of(slo_line(old, each, cells - 1)).startswith("? STALE")
    told = [
        *status_lines(old, (), cells),
        strip(old, cells),
        *(slo_line(old, each, cells) for each in old.slos.reports),
    ]
    assert not any(style in GOOD for line in told for _, style in line)
    assert "STALE" in text_of(strip(old, cells))
    assert due(old) == ()


def test_a_sample_that_grows_old_between_two_readings_is_stale() -> None:  # I25
    """Read as 3 s old with a bound of 12 s: ten seconds later it is past it, with no new reading."""
    assert rows(board(snapshot(report("feed", read(), fresh_s=12.0))), 80)["feed"].startswith("● GREEN")
    later = board(snapshot(report("feed", read(), fresh_s=12.0)), age_s=10)
    assert rows(later, 80)["feed"].startswith("? STALE")
    assert "13 s" in rows(later, 80)["feed"]


def test_the_last_good_figures_are_marked_as_what_was() -> None:
    stale = replace(every_state()[0], state=BudgetState.STALE, why="Prometheus answers 503")
    shown = board(snapshot(stale))
    assert "was 80 % left" in rows(shown, 80)["feed-green"]
    assert "█" not in rows(shown, 80)["feed-green"]
    assert "Prometheus answers 503; last read in order at 03:16:00" in details(shown, "feed-green", 116)


def test_overspend_is_a_negative_number_and_an_empty_gauge() -> None:
    row = rows(board(snapshot()), 120)["orders-red"]
    assert "░░░░░░░░░  -112 %" in row
    assert "SPENT" in row
    assert "page 1h+3" in row
    assert "18.0×!" in row


@pytest.mark.parametrize(
    ("share", "bar", "words"),
    [
        ("1", "████████", "100 %"),
        ("0.999", "███████░", "100 %"),
        ("0.5", "████░░░░", "50 %"),
        ("0.01", "█░░░░░░░", "1.0 %"),
        ("0", "░░░░░░░░", "0 %"),
        ("-3.5", "░░░░░░░░", "-350 %"),
        (None, "········", ""),
    ],
)
def test_the_gauge(share: str | None, bar: str, words: str) -> None:
    """Not full before all is there, not empty while something is."""
    value = None if share is None else Decimal(share)
    assert gauge(value, 8) == bar
    if value is not None:
        assert percent(value) == words


def test_the_trend_is_taller_the_worse_and_dots_where_nothing_happened() -> None:
    shares = (1.0, 0.999, 0.99, 0.98, 0.95, 0.5, None, 1.5)
    assert sparkline(shares, Decimal("0.99"), 24) == "▁▂▂▃▅█··"
    assert sparkline(shares, Decimal("0.99"), 3) == "█··"
    assert burn_words(None) == "-"
    assert burn_words(Decimal("14.44")) == "14.4×"


def test_worst_first_and_thresholds_among_them() -> None:
    assert wanted_order(board(snapshot())) == (
        "orders-red", "mismatch-runs", "torn", "silent", "old", "latency-orange", "bars-yellow", "idle",
        "feed-green", "stale-warnings",
    )  # fmt: skip
    shown = rows(board(snapshot()), 80)
    assert shown["mismatch-runs"].startswith("■ RED BROKEN")
    assert "5 runs (wanted < 3)" in shown["mismatch-runs"]
    assert shown["stale-warnings"].startswith("● GREEN KEPT")


def test_the_strip_names_the_worst_and_counts_the_rest() -> None:
    orange, red, green = every_state()[2], every_state()[3], every_state()[0]
    shown = board(snapshot(green, orange, red))
    assert text_of(strip(shown, 120)) == (
        " SLO ■ RED orders-red -112 % · ▲ ORANGE latency-orange 18 % · ● 1 healthy · 0 s"
    )
    for cells in (60, 80, 120):
        assert width(strip(shown, cells)) <= cells
    assert "■ RED orders-red -112 %" in text_of(strip(board(snapshot()), 80))
    assert "6 more" in text_of(strip(board(snapshot()), 80))
    assert text_of(strip(board(snapshot(green)), 80)) == " SLO ● 1 healthy · 0 s"


def test_a_green_budget_that_burns_is_named_in_the_strip() -> None:
    burning = report("orders", replace(read(10), counts=counted(10, last_hour=90)))
    assert burning.state is BudgetState.GREEN
    assert "● GREEN orders 80 % burns 18.0×" in text_of(strip(board(snapshot(burning)), 80))


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (420.0, "ms", "420 ms"),
        (0.0944, "share", "9.44 %"),
        (0.995, "share of runs", "99.5 % of runs"),
        (None, "ms", "-"),
        (3.0, "", "3"),
        (0.5, "shares held", "0.5 shares held"),
    ],
)
def test_amounts(value: float | None, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_the_strip_says_what_is_wrong_with_a_source() -> None:
    broken = snapshot(every_state()[0], faults=("own.yaml:3: spec: no objective; write one",))
    assert "! 1 fault (2)" in text_of(strip(board(broken), 80))
    assert "reading…" in text_of(strip(board(), 80))
    assert "own.yaml:3" in text_of(strip(replace(board(), slos_error="slos: own.yaml:3: bad"), 80))
    assert "no objective is configured" in text_of(strip(replace(board(), objectives=False), 80))


def test_a_bad_file_is_said_with_the_age_of_what_stands() -> None:
    broken = snapshot(every_state()[0], faults=("own.yaml:3: spec: no objective; write one",))
    lines = [text_of(line) for line in status_lines(board(broken), (), 80)]
    assert " ! own.yaml:3: spec: no objective; write one" in lines
    assert "   objectives as loaded at 02:16:00" in lines


def test_the_details_hold_what_a_decision_needs() -> None:
    text = details(board(snapshot()), "orders-red", 116)
    for part in (
        "Halt new orders, keep positions only, review the incident.", "5m 18.0×!", "3d 18.0×!",
        "page 1h/5m (both over 14.4×)", "-112 % of the budget", "min of full outage", "spent",
        "CONFIRMED: 9 orders since the 5-minute rate fell under the objective (more than 5)",
        "component:execution ● CLOSED · TRADING",
        "99.5 % of events good over 30d", "Postgres: orders_red", "runbooks/slos/order-execution.yaml:7",
        "nothing is left out",
    ):  # fmt: skip
        assert part in text, part
    shipped = report("shipped", file="/usr/lib/python3/runbooks/slos/feed.yaml")
    assert "file      runbooks/slos/feed.yaml:7" in details(board(snapshot(shipped)), "shipped")
    assert "not confirmed: 2 bars since the 5-minute rate fell under the objective" in details(
        board(snapshot()), "latency-orange", 116
    )
    assert "99.95 % of events" in details(board(snapshot(report("fine", objective="0.9995"))), "fine")


def test_few_events_say_what_one_failure_costs() -> None:
    few = report("few", replace(read(), counts=counted(0, 400)))
    assert "few events (400 events): one failure more costs 50 % of the budget" in details(
        board(snapshot(few)), "few", 116
    )
    assert "one failure" not in details(board(snapshot()), "feed-green", 116)


def test_exclusions_say_who_when_and_why_and_stay_when_taken_back() -> None:
    gone = exclusion("feed", exclusion_id="x-2", reverted_at=NOW, reverted_by="admin2")
    left_out = replace(report("feed"), exclusions=(exclusion("feed"), gone))
    text = details(board(snapshot(left_out)), "feed", 116)
    assert "21 Nov 01:16-21 Nov 02:16 by admin1, approved by admin2: announced maintenance · #42" in text
    assert "TAKEN BACK by admin2" in text


def test_a_threshold_has_no_budget_and_says_so() -> None:
    text = details(board(snapshot()), "mismatch-runs")
    for part in ("5 runs (wanted < 3)", "none: a plain threshold", "own.yaml:3", "newest sample"):
        assert part in text


HOSTILE = ("[@click=app.quit]x[/]", "\x1b[2J\x9b31m", "\u202egnitart", "止まれ🚨" * 30, "Z" + "\u0301" * 90)


@pytest.mark.parametrize("text", HOSTILE)
@BOTH
def test_text_of_a_file_never_acts(text: str, cells: int) -> None:  # I26
    bad = report(
        "feed",
        read(fault=text, newest_at=NOW - timedelta(seconds=9)),
        title=text,
        description=text,
        file=text,
    )
    noted = replace(bad, exclusions=(exclusion("feed", notes=text, login=text, approved_by=text),))
    shown = board(snapshot(noted, faults=(text,)))
    lines = [*report_lines(shown, noted, cells), *status_lines(shown, (), cells), strip(shown, cells)]
    for line in (*lines, slo_line(shown, noted, cells - 1)):
        drawn = "".join(safe(part) for part, _ in cut(line, cells))
        assert drawn.isprintable()
        assert cell_len(drawn) <= cells


# -- the halt that a spent budget asks for -----------------------------------------------------------------


def test_a_red_budget_proposes_the_halt_until_its_breaker_is_halted() -> None:
    shown = board(snapshot())
    assert [each.name for each in due(shown)] == ["orders-red"]
    text = [text_of(line) for line in banner(shown)]
    assert " ■ HALT DUE (b): orders-red RED -112 % · component:execution is not halted" in text
    halted = board(snapshot(), states={"component:execution": State.OPEN})
    assert due(halted) == ()
    assert not any("HALT DUE" in text_of(line) for line in banner(halted))
    unreadable = replace(halted, redis_error="timed out")
    assert [each.name for each in due(unreadable)] == ["orders-red"]  # it may be trading again


@pytest.mark.parametrize(
    ("name", "breaker", "reason"),
    [
        ("signal-latency", EXECUTION, Reason.LATENCY),
        ("order-success", EXECUTION, Reason.REJECTION_RATE),
        ("data-feed-uptime", "component:ingest", Reason.DATA_INTEGRITY),
        ("reconciled", EXECUTION, Reason.OPERATIONAL),
        ("reconciled", "component:ingest", Reason.OTHER),
    ],
)
def test_the_proposal_is_a_valid_trip(name: str, breaker: str, reason: Reason) -> None:
    found = report(name, read(106), breaker=breaker)
    token, notes = proposal(found)
    assert token is reason
    assert justification(notes) == notes
    assert name in notes
    assert "-112 %" in notes


def test_notes_of_a_proposal_stay_notes_whatever_a_name_holds() -> None:
    found = replace(report("feed", read(106)), why="x" * 900 + "\x1b[2J\u202e")
    assert len(justification(proposal(found)[1])) <= 500


def test_the_banner_keeps_the_gravest_and_names_a_missing_guard() -> None:
    crowded = board(snapshot(), desk())
    lines = [text_of(line) for line in banner(crowded)]
    assert len(lines) <= MOST
    assert "NOTHING TRIPS BY ITSELF: no guard has ever run here" in lines[-1]
    assert lines.index(next(line for line in lines if "HALT DUE" in line)) == 1


def override(hours: float = 2, breaker_id: str = "global", **changes: object) -> IncidentRow:
    made = IncidentRow(
        "i-1", NOW - timedelta(hours=hours), "P1", "break-glass",
        f"Error budgets overridden on {breaker_id} by admin1: the venue has confirmed the fix", "open",
        "override", breaker_id, None, None, None,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_unresolved_override_stands_in_the_status_line() -> None:
    def told(*incidents: IncidentRow) -> str:
        shown = board(snapshot(), desk(incidents=incidents))
        shell = SimpleNamespace(board=shown, screen_stack=(), keys_remapped={})
        return text_of(Showing.standing_line(shell))  # type: ignore[arg-type]

    assert told(override()) == " 1 unresolved override (P1) · a acknowledges"
    assert told(override(status="acknowledged")) == " 1 unresolved override (P1)"
    assert told(override(status="resolved")) == " "
    both = told(override(), override(severity="P0", source="monitor"))
    assert both == " 1 unacknowledged critical incident · 1 unresolved override (P1) · a acknowledges"


@BOTH
@pytest.mark.parametrize("breaker_id", ["global", "component:execution", "instrument:BTC-USD"])
def test_an_override_is_said_in_place_of_the_order_to_halt(breaker_id: str, cells: int) -> None:  # I23
    shown = board(snapshot(), desk(incidents=(override(breaker_id=breaker_id),)))
    [line] = [each for each in banner(shown, cells) if "override" in text_of(each)]
    assert text_of(line).startswith(" ! RED orders-red: resumed by override (")
    assert text_of(line).endswith(") · b halts again")
    assert width(line) <= cells
    assert {style for _, style in line} == {"banner-warn"}
    assert not any("HALT DUE" in text_of(each) for each in banner(shown, cells))
    assert [each.name for each in due(shown)] == ["orders-red"]  # the key still works


@pytest.mark.parametrize(
    "changes",
    [{"hours": 25}, {"breaker_id": "component:ingest"}, {"source": "trip"}, {"status": "resolved"}],
    ids=str,
)
def test_what_is_no_override_of_today_leaves_the_halt_due(changes: dict[str, Any]) -> None:
    shown = board(snapshot(), desk(incidents=(override(**changes),)))
    assert any("HALT DUE (b): orders-red" in text_of(line) for line in banner(shown))


def test_a_halt_that_no_override_passed_over_comes_first() -> None:
    worse = every_state()[3]
    fresh = report("bars-red", read(60), breaker=BreakerId("component:ingest"))
    passed = desk(incidents=(override(breaker_id="component:execution"),))
    shown = board(snapshot(worse, fresh), passed)
    assert [each.name for each in due(shown)] == ["bars-red", "orders-red"]
    assert any("HALT DUE (b): bars-red" in text_of(line) for line in banner(shown))


@BOTH
@pytest.mark.parametrize(("out", "words"), [(7, "· excl. 7 "), (1_234_567, "· excl. 1")])
def test_what_is_left_out_of_a_budget_stays_in_its_row(out: int, words: str, cells: int) -> None:
    without = replace(read(10), excluded=Counts(Decimal(out), Decimal(out)))
    shown = board(snapshot(report("feed", without)))
    row = rows(shown, cells)["feed"]
    assert f"80 % {words}" in row
    assert "0.0×" in row
    stale = board(snapshot(replace(report("feed", without), state=BudgetState.STALE)))
    assert words in rows(stale, cells)["feed"]
    assert "excl." not in rows(board(snapshot()), cells)["feed-green"]


# -- size ----------------------------------------------------------------------------------------------------


@BOTH
def test_half_size_is_never_taken_for_whole(cells: int) -> None:
    half = board(snapshot(), desk(None, limit("0.25")), {"component:execution": "0.25"})
    for name in ("component:execution", "instrument:BTC-USD"):
        text = text_of(row_line(breaker_row(half, name), cells - 1))
        assert "CLOSED · TRADING 25 %" in text
    assert "25 %" not in text_of(row_line(breaker_row(half, "component:ingest"), cells - 1))
    top = banner(half)[0]
    assert "TRADING, component:execution AT 25 % OF SIZE" in text_of(top)
    assert all(style not in GOOD for _, style in top)
    why = size_why(half, "instrument:BTC-USD")
    for part in (
        "orders at 25 % of size, by component:execution",
        "by rule settlement-lag since 03:07",
        "lags by 40",
    ):
        assert part in why
    assert size_why(half, "component:ingest") == ""


def test_a_budget_that_halves_size_is_named() -> None:
    half = board(snapshot(every_state()[2]), desk(), {"component:execution": "0.5"})
    assert "budget of latency-orange is ORANGE" in size_why(half, "component:execution")


def test_limits_are_found_from_above_and_below() -> None:
    shown = board(None, desk(None, limit()))
    for name in ("global", "component:execution", "instrument:BTC-USD"):
        assert [each.limit_id for each in limits_about(shown, name)] == ["limit-1"]
    assert limits_about(shown, "component:ingest") == ()
    assert limits_about(shown, "nothing:else") == ()


# -- order ---


def test_the_order_holds_while_somebody_reads() -> None:
    order = HeldOrder()
    assert order.of((), 0, NOW) == ()
    assert order.of(("b", "a"), 1, NOW) == ("b", "a")
    assert order.of(("a", "b"), 2, NOW) == ("b", "a")
    assert not order.holds({"a": 2, "b": 1})
    assert order.holds({"a": 2, "b": 2})  # among equals it is no news
    assert order.of(("c", "a", "b"), 3, NOW) == ("b", "a", "c")  # what is new stands last
    assert order.of(("c", "a"), 4, NOW) == ("a", "c")
    order.sort()
    assert order.of(("c", "a"), 5, NOW) == ("c", "a")
    assert order.holds({"a": 1, "c": 2})


def test_a_cursor_that_rested_for_long_lets_the_rows_be_sorted() -> None:
    order = HeldOrder()
    order.of(("b", "a"), 1, NOW)
    order.touch(100)
    assert order.of(("a", "b"), 100 + RESTED_S - 1, NOW) == ("b", "a")
    assert order.of(("a", "b"), 100 + RESTED_S, NOW) == ("a", "b")


def test_fired_pairs_name_the_gravest() -> None:
    found = every_state()[3]
    assert fired_words(found.fired) == "page 1h+3"
    assert fired_words(found.fired[2:]) == "tick 1d+1"
    assert fired_words(()) == "-"


def test_every_state_has_its_look() -> None:
    assert set(STYLE) == set(BudgetState)
    assert isinstance(report("x"), SloReport)
    assert slo("x").name == "x"
