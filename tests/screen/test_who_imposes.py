"""A row, the detail and the banner say who imposes the state that counts, since when and why: no terminal,
no store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from cockpit.cli.breaker_fields import breaker_fields, breaker_line, history_line, switch_fields, switch_line
from cockpit.domain.audit import Head
from cockpit.domain.breakers import GLOBAL, BreakerId, is_switch
from cockpit.domain.desk import AuditRow, BreakerRow, DeskSnapshot, LeaseRow
from cockpit.domain.documents import Document, Epoch, Reading, effective, rfc3339
from cockpit.domain.permissions import Identity, Role
from cockpit.domain.snapshots import BreakerSnapshot
from cockpit.domain.states import State
from cockpit.screens.overview import _words
from tests.screen.test_rows import CATALOGUE, NOW, RUN
from tests.screen.test_rows import board as some_board
from widgets import details
from widgets.banner import banner
from widgets.board import Board
from widgets.breaker_rows import breaker_row, row_line
from widgets.columns import heading
from widgets.details import details_lines
from widgets.event_rows import audit_line
from widgets.line import text_of, width
from widgets.next_steps import steps

BTC, EXECUTION = BreakerId("instrument:BTC-USD"), BreakerId("component:execution")
LATCHES = ("latch:BTC-USD", "latch:ETH-USD")
BEFORE, TRIPPED = NOW - timedelta(minutes=31), NOW - timedelta(minutes=5)
CLOSED_AT, TRIPPED_AT = "02:45", "03:11"


def board(states: Mapping[str, State], share: str = "1") -> Board:
    """All closed long ago by `authority`, which kept the reason of the trip; those of `states` by `admin1`
    lately. `share`: the size that `global` is closed at."""
    readings = {}
    for name in CATALOGUE.everything:
        state = states.get(name, State.CLOSED)
        who, when, notes = "authority", BEFORE, "venue healthy again"
        if name in states:
            who, when, notes = "admin1", TRIPPED, f"done to {name}"
        size = share if name == GLOBAL else "1"
        document = Document(
            name, state, Epoch(RUN, 3), CATALOGUE.ancestors(name), 1, who, "market-anomaly", notes, "event",
            when, run_deadline=NOW + timedelta(seconds=42), quiet_until=NOW + timedelta(seconds=9),
            size_share=Decimal(size if state is State.CLOSED else "0.25"),
        )  # fmt: skip
        readings[name] = Reading(name, state, document.epoch, document)
    folded = {name: effective(name, readings, CATALOGUE) for name in CATALOGUE.ids}
    snapshot = BreakerSnapshot(readings, folded, RUN, NOW, True, (), NOW, 100.0)
    return replace(
        some_board(), breakers=snapshot, identity=Identity("operator1", "p1", Role.OPERATOR_ACT), desk=desk()
    )


def desk(**changes: object) -> DeskSnapshot:
    lease = LeaseRow("one", 1, NOW, NOW + timedelta(seconds=9), 0.1, True, {})
    made = DeskSnapshot(NOW, NOW, 100.0, 1.0, {}, (), (), (), (), lease, (), Head(0, ""), (), (), ())
    return replace(made, **changes)  # type: ignore[arg-type]


def set_(*names: str) -> dict[str, State]:
    return dict.fromkeys(names, State.OPEN)


def top(shown: Board, cells: int = 80) -> str:
    return text_of(banner(shown, cells)[0])


def words(shown: Board, name: str) -> list[str]:
    return [text_of(line) for line in _words(shown, name)]


# -- the banner: what concerns everything first, then the worst ----------------------------------------------


def test_what_concerns_everything_stands_first_and_hides_no_halt() -> None:
    probing = top(board({GLOBAL: State.HALF_OPEN, **set_(*LATCHES)}))
    assert probing.startswith(" ◐ ALL TRADING PROBING by global · ■ HALTED by latch:BTC-USD +1 more · 0:41")
    limited = top(board({GLOBAL: State.QUIET_PERIOD, EXECUTION: State.OPEN}))
    assert limited.startswith(" ◔ ALL TRADING LIMITED by global · ■ HALTED by component:execution · size")
    half = top(board(set_(*LATCHES), share="0.5"))
    assert half.startswith(" ◔ ALL TRADING AT 50 % OF SIZE · ■ HALTED by latch:BTC-USD +1 more · since")
    for shown in (board({GLOBAL: State.HALF_OPEN, **set_(*LATCHES)}), board(set_(*LATCHES), share="0.5")):
        assert {style for _, style in banner(shown)[0]} == {"banner-bad"}
    assert top(board({GLOBAL: State.OPEN, **set_(*LATCHES)})).startswith(" ■ ALL TRADING HALTED by global · ")


def test_a_weaker_state_is_not_counted_among_the_halted() -> None:
    shown = top(board({"component:risk": State.HALF_OPEN, "strategy:momentum": State.OPEN, **set_(*LATCHES)}))
    assert " ■ HALTED by strategy:momentum +2 more · ◐ PROBING by component:risk · since" in shown


@pytest.mark.parametrize("cells", [80, 120])
def test_switches_are_counted_where_they_cannot_be_named(cells: int) -> None:
    every = [name for name in CATALOGUE.everything if is_switch(name)]
    line = text_of(banner(board(set_(*every)), cells)[1])
    assert line.startswith(" ■ SET: WITHDRAWALS HALTED, HARD_HALT BTC-USD")
    assert line.endswith(" more") and len(line) <= cells
    shown = board(set_(*every[:-1]))
    assert shown.breakers is not None
    readings = {
        **shown.breakers.readings,
        every[-1]: Reading(every[-1], State.OPEN, None, None, "no counter"),
    }
    doubted = replace(shown, breakers=replace(shown.breakers, readings=readings))
    line = text_of(banner(doubted, cells)[1])
    assert "WITHDRAWALS HALTED" in line and "1 switch IN DOUBT" in line and len(line) <= cells


def test_a_halt_of_withdrawals_is_not_pushed_out_by_what_is_merely_wrong() -> None:
    away = replace(board(set_("withdrawals")), desk=desk(lease=None, faults=("x",)))
    assert text_of(banner(away)[1]) == " ■ SET: WITHDRAWALS HALTED"


# -- rows and details ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cells", [79, 119])
@pytest.mark.parametrize("by", ["global", "component:execution", "latch:BTC-USD"])
def test_since_and_by_are_of_who_imposes_the_state(by: str, cells: int) -> None:
    shown = board(set_(by))
    row = text_of(row_line(breaker_row(shown, BTC), cells))
    assert TRIPPED_AT in row and "admin1" in row
    assert CLOSED_AT not in row and "authority" not in row
    _, why, _ = words(shown, BTC)
    assert f"since {TRIPPED_AT} by admin1 · market-anomaly: done to {by}" in why
    whole = [text_of(line) for line in details_lines(shown, BTC, 120)]
    assert any("own       ● CLOSED · TRADING  since 2026-11-21 02:45:00 UTC by authority" in x for x in whole)
    assert "since     2026-11-21 03:11:00 UTC" in whole and "by        admin1" in whole


@pytest.mark.parametrize("state", [State.CLOSED, State.HALF_OPEN, State.QUIET_PERIOD])
def test_the_reason_of_a_trip_is_not_glued_to_later_notes(state: State) -> None:
    shown = board({BTC: state})
    told = [*words(shown, BTC), *(text_of(line) for line in details_lines(shown, BTC, 120)), top(shown, 200)]
    assert not any("market-anomaly" in line for line in told)
    assert f" since {TRIPPED_AT} by admin1 · done to {BTC}" in told
    member = {"at": "2026-11-21T03:11:00Z", "state": state.value, "reason": "latency", "notes": "all is well"}
    assert "latency" not in text_of(details.history_line(member)) + history_line(member)
    tripped = member | {"state": "OPEN"}
    assert "latency: all is well" in text_of(details.history_line(tripped))
    assert history_line(tripped).endswith("latency  all is well")


def test_a_change_that_did_not_open_it_does_not_explain_a_doubt() -> None:
    shown = board({BTC: State.HALF_OPEN})
    assert shown.breakers is not None
    document = shown.breakers.readings[BTC].document
    doubted = Reading(BTC, State.OPEN, Epoch(RUN, 3), document, "probe run is past its deadline")
    readings = {**shown.breakers.readings, BTC: doubted}
    folded = {**shown.breakers.effective, BTC: effective(BTC, readings, CATALOGUE)}
    row = BreakerRow(
        BTC, "HALF_OPEN", NOW, "operator1", "latency", "begun", "e", RUN, 3, None, None, NOW
    )  # fmt: skip
    snapshot = replace(shown.breakers, readings=readings, effective=folded)
    shown = replace(shown, breakers=snapshot, desk=desk(breakers={BTC: row}))
    assert words(shown, BTC)[1] == " reads OPEN because: probe run is past its deadline"


@pytest.mark.parametrize(
    ("states", "keys"),
    [
        ({}, "t"),
        ({BTC: State.OPEN}, "h t"),
        ({BTC: State.HALF_OPEN}, "t"),
        (set_("latch:BTC-USD"), "4r t"),
        (set_("cancel_only:BTC-USD"), "m t"),
        (set_("latch:BTC-USD", "hard_halt:BTC-USD"), "4r m"),
    ],
)
def test_next_names_whole_keys(states: Mapping[str, State], keys: str) -> None:
    shown = board(states)
    assert text_of(row_line(breaker_row(shown, BTC), 79)).endswith(f" {keys.ljust(5)}")


@pytest.mark.parametrize(
    ("by", "state", "detail", "why_not"),
    [
        (EXECUTION, State.OPEN, "h on component:execution resumes it", "HALTED by component:execution: h on"),
        (EXECUTION, State.HALF_OPEN, "p on component:execution", "PROBING by component:execution: p on"),
        ("latch:BTC-USD", State.OPEN, "4 r release latch", "4, then r releases it"),
        ("soft_halt:BTC-USD", State.OPEN, "m mode", "m releases it"),
    ],
)
def test_the_words_name_the_key_that_leads_out(by: str, state: State, detail: str, why_not: str) -> None:
    shown = board({by: state})
    assert detail in words(shown, BTC)[2]
    assert why_not in (steps(shown, BTC).why_not("half_open") or "")
    above = board({EXECUTION: State.OPEN, BTC: State.OPEN})
    assert "that one comes first: h on component:execution" in (steps(above, BTC).why_not("half_open") or "")


def test_nobody_is_shown_a_key_without_the_right_to_it() -> None:
    mere = Identity("monitor1", "p9", Role.MONITORING_READ)
    shown = replace(board(set_("global", "latch:BTC-USD")), identity=mere, login="monitor1")
    assert words(shown, BTC)[2] == (
        " next: m mode  x cancel all  ask an operator-act or safety-admin; lacks TRIP_CIRCUIT"
    )
    assert "on global" not in words(board(set_("global")), BTC)[2]  # which an operator may not resume
    whole = [text_of(line) for line in details_lines(shown, BTC, 76)]
    said = " ".join(" ".join(whole[whole.index(next(x for x in whole if x.startswith("trip "))) :]).split())
    assert "Ask an operator-act or safety-admin, or use a login of your own with that role" in said
    assert not any("…" in line for line in whole)


def test_a_denial_in_the_log_ends_within_a_narrow_line() -> None:
    why = json.dumps({"code": "denied", "why": "operator1 (operator-act) lacks TRIP_CIRCUIT on global."})
    row = AuditRow(
        14, "e", NOW, "CIRCUIT_BREAKER_DENIED", "operator1", "operator-act", "global", why, None, None, ""
    )
    line = audit_line(row)
    assert text_of(line).endswith("global by operator1 · lacks TRIP_CIRCUIT")
    assert width(line) <= 80


@pytest.mark.parametrize("cells", [79, 119])
def test_the_titles_say_how_many_rows_are_not_seen(cells: int) -> None:
    plain = text_of(heading(cells))
    assert "BREAKER · ↓2 more " in text_of(heading(cells, 0, 2))
    assert "BREAKER · ↑12 ↓13 more " in text_of(heading(cells, 12, 13))
    assert len({plain.index("STATE"), text_of(heading(cells, 12, 13)).index("STATE")}) == 1


# -- the command line ----------------------------------------------------------------------------------------


def line_of(shown: Board, name: BreakerId) -> str:
    assert shown.breakers is not None
    return breaker_line(breaker_fields(shown.breakers, name, None), shown.breakers, {})


def test_status_tells_of_who_imposes_the_state_and_what_is_set() -> None:
    shown = board(set_("latch:BTC-USD"))
    assert shown.breakers is not None
    latched = line_of(shown, BTC)
    assert "CLOSED · TRADING → OPEN · HALTED by latch:BTC-USD" in latched
    assert latched.endswith(f"{rfc3339(TRIPPED)}, admin1, market-anomaly")
    assert line_of(shown, EXECUTION).endswith(f"{rfc3339(BEFORE)}, authority")
    fields = breaker_fields(shown.breakers, BTC, None)
    assert (fields["reason"], fields["notes"]) == (None, "venue healthy again")
    row = BreakerRow(
        BTC, "CLOSED", BEFORE, "operator1", "latency", "fine", "e", RUN, 3, None, None, NOW
    )  # fmt: skip
    assert breaker_fields(shown.breakers, BTC, row)["reason"] is None
    switch = switch_line(switch_fields(BreakerId("latch:BTC-USD"), shown.breakers, None))
    assert "latched" in switch and "done to latch:BTC-USD" in switch
