"""Rows, banner and header as pure functions of a board: no terminal, no store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rich.cells import cell_len

from cockpit.domain.audit import Head
from cockpit.domain.breakers import GLOBAL, BreakerId, Catalogue
from cockpit.domain.desk import AuditRow, DeskSnapshot, RunRow
from cockpit.domain.documents import Document, Epoch, Reading, effective
from cockpit.domain.limits import Limits
from cockpit.domain.probes import ProbeResult, ProbeRun, RunStatus
from cockpit.domain.snapshots import BreakerSnapshot, StreamEvent
from cockpit.domain.states import State
from cockpit.keymap import ALL, remapping_faults
from widgets.banner import banner
from widgets.board import Board
from widgets.board_entries import PendingTrip
from widgets.breaker_rows import breaker_row, row_line
from widgets.event_rows import audit_line, event_lines
from widgets.header import header
from widgets.line import fit, fold, text_of, width, wrap
from widgets.line_view import safe
from widgets.run_lines import run_lines
from widgets.symbols import ascii_only, to_ascii

NOW = datetime(2026, 11, 21, 3, 16, tzinfo=UTC)
CATALOGUE = Catalogue.build(["execution", "risk"], ["BTC-USD", "ETH-USD"], ["momentum"])
BTC = BreakerId("instrument:BTC-USD")
RUN = "a" * 40


def reading(name: BreakerId, state: State) -> Reading:
    epoch = Epoch(RUN, 3)
    document = Document(
        name, state, epoch, CATALOGUE.ancestors(name), 1, "operator1", "latency", "feed is far behind",
        "event", NOW - timedelta(minutes=4), run_deadline=NOW, quiet_until=NOW + timedelta(seconds=9),
        size_share=Decimal("0.25") if state is State.QUIET_PERIOD else Decimal(1),
    )  # fmt: skip
    return Reading(name, state, epoch, document)


def board(age_s: float = 0.2, error: str | None = None, **states: State) -> Board:
    chosen = {BreakerId(name.replace("__", ":").replace("_", "-")): state for name, state in states.items()}
    readings = {name: reading(name, chosen.get(name, State.CLOSED)) for name in CATALOGUE.everything}
    folded = {name: effective(name, readings, CATALOGUE) for name in CATALOGUE.ids}
    snapshot = BreakerSnapshot(readings, folded, RUN, NOW, True, (), NOW, 100.0)
    return Board(
        "demo", "operator1", CATALOGUE, Limits(), 100.0 + age_s, NOW + timedelta(seconds=age_s),
        breakers=snapshot, redis_error=error,
    )  # fmt: skip


@pytest.mark.parametrize("cells", [79, 119, 199])
@pytest.mark.parametrize("state", list(State))
def test_no_state_without_its_meaning(state: State, cells: int) -> None:
    shown = board(**{"global": state})
    text = text_of(row_line(breaker_row(shown, GLOBAL), cells))
    assert state.label in text
    assert len(text) <= cells


def test_a_child_names_who_halts_it_and_keeps_its_own_state() -> None:
    row = breaker_row(board(component__execution=State.OPEN), BTC)
    assert (row.own, row.effective, row.halted_by) == (State.CLOSED, State.OPEN, "component:execution")
    assert "component:execution" in text_of(row_line(row, 119))


@pytest.mark.parametrize(("age_s", "error"), [(40.0, None), (40.0, "connection refused"), (0.1, "timed out")])
@pytest.mark.parametrize("cells", [79, 119])
def test_unreadable_is_never_halted_and_never_good(
    age_s: float, error: str | None, cells: int
) -> None:  # I25
    old = board(age_s, error)
    row, top = text_of(row_line(breaker_row(old, BTC), cells)), text_of(banner(old)[0])
    for text in (row, top):
        assert "UNREADABLE" in text
        assert "HALTED" not in text
        assert "MAY" in text
    assert all("banner-good" not in style for _, style in banner(old)[0])
    assert "last CLOSED" in row


def test_a_pending_trip_is_not_halted_yet() -> None:
    sent = PendingTrip(BTC, "e", NOW, "in the spool")
    waiting = replace(board(), local_pending=(sent,))
    assert "PENDING · NOT HALTED YET" in text_of(row_line(breaker_row(waiting, BTC), 79))
    assert any("PENDING · NOT HALTED YET" in text_of(line) for line in banner(waiting))
    halted = replace(board(instrument__BTC_USD=State.OPEN), local_pending=(sent,))
    assert breaker_row(halted, BTC).pending is False


def test_the_banner_says_what_is_halted_since_when_by_whom_and_why() -> None:
    text = text_of(banner(board(component__execution=State.OPEN))[0])
    for part in ("HALTED by component:execution", "since 03:12 (4 min)", "operator1", "latency: feed is far"):
        assert part in text
    assert text_of(banner(board())[0]).strip() == "● ALL TRADING: CLOSED · TRADING"


@pytest.mark.parametrize("cells", [80, 120])
def test_the_header_fits_and_names_every_light(cells: int) -> None:
    line = header(board(), cells)
    assert width(line) <= cells
    for name in ("operator1", "redis", "evidence", "authority", "chain"):
        assert name in text_of(line)


@pytest.mark.parametrize("cells", [40, 50, 60, 70, 79])
def test_a_narrow_header_keeps_profile_and_login(cells: int) -> None:
    for shown in (board(), board(40.0), board(0.1, "timed out")):
        line = header(shown, cells)
        assert width(line) <= cells
        assert " demo operator1" in text_of(line)


def _entry(seq: int, action: str, at: datetime) -> AuditRow:
    return AuditRow(
        seq,
        f"entry-{seq}",
        at,
        f"CIRCUIT_BREAKER_{action}",
        "operator1",
        "operator",
        BTC,
        "{}",
        None,
        None,
        "",
    )


def _stream(kind: str, at: datetime) -> StreamEvent:
    stamp = int(at.timestamp() * 1000)
    return StreamEvent(f"{stamp}-0", f"event-{stamp}", BTC, kind, "operator1", at.isoformat(), b"", "", "")


def test_events_of_the_stream_do_not_hide_the_audit_log() -> None:
    """An unsigned trip is covered by the entry that the authority makes for it; of the rest two are shown."""
    second = timedelta(seconds=1)
    log = (
        _entry(3, "TRIP", NOW),
        _entry(2, "TRIP", NOW - 200 * second),
        _entry(1, "TRIP", NOW - 400 * second),
    )
    made = (_stream("TRIP", NOW - 30 * second), _stream("TRIP", NOW - 261 * second))
    forged = tuple(_stream("CLOSE", NOW - count * second) for count in (10, 210, 220))
    shown = board()
    assert shown.breakers is not None
    desk = DeskSnapshot.__new__(DeskSnapshot)
    object.__setattr__(desk, "audit", log)
    shown = replace(shown, breakers=replace(shown.breakers, events=(*made, *forged)), desk=desk)
    lines = [text_of(line).split()[1] for line in event_lines(shown, 9)]
    assert lines == ["#3", "not", "#2", "not", "#1"]


def test_an_opening_of_everything_is_one_line() -> None:
    second = timedelta(seconds=1)
    log = (_entry(9, "TRIP", NOW), *(_entry(seq, "GENESIS", NOW - second) for seq in range(8, 1, -1)))
    desk = DeskSnapshot.__new__(DeskSnapshot)
    object.__setattr__(desk, "audit", (*log, _entry(1, "TRIP", NOW - 2 * second)))
    lines = [text_of(line) for line in event_lines(replace(board(), desk=desk), 9)]
    assert [line.split()[1] for line in lines] == ["#9", "#8", "#1"]
    assert "instrument:BTC-USD by operator1 · and 6 more" in lines[1]
    assert "more" not in lines[0] + lines[2]


NOTES = (
    "Rule slippage-run of BTC-USD: five fills in a row over the limit. 31.2 bp, threshold 25 bp, at "
    "2026-11-21T03:12:00Z. Samples: 17, 18"
)


def _logged(action: str, details: Mapping[str, object], role: str = "automation-role") -> AuditRow:
    return AuditRow(
        12, "event", NOW, f"CIRCUIT_BREAKER_{action}", "automation1", role, "component:execution",
        json.dumps(details), None, None, "",
    )  # fmt: skip


def _tripped_by_rule(role: str) -> Board:
    """Execution halted by notes that begin as the guard's do, audited as a trip of `role`."""
    shown, name = board(component__execution=State.OPEN), BreakerId("component:execution")
    assert shown.breakers is not None
    found = shown.breakers.readings[name]
    assert found.document is not None
    document = replace(found.document, actor="automation1", reason="operational", notes=NOTES)
    readings = {**shown.breakers.readings, name: replace(found, document=document)}
    desk = DeskSnapshot(
        NOW, NOW, 100.0, 1.0, {}, (), (), (), (), None,
        (_logged("TRIP", {"notes": NOTES}, role),), Head(0, ""), (), (), (),
    )  # fmt: skip
    return replace(shown, breakers=replace(shown.breakers, readings=readings), desk=desk)


def test_the_banner_of_an_automatic_trip_names_the_rule_first() -> None:
    head = text_of(banner(_tripped_by_rule("automation-role"))[0])
    assert "by component:execution · rule slippage-run of BTC-USD · since" in head[:80]
    assert "automation1" not in head
    assert "five fills in a row" in head
    person = text_of(banner(_tripped_by_rule("operator-act"))[0])
    assert "rule slippage-run of BTC-USD (by automation1) · since" in person


def test_the_event_of_an_automatic_trip_names_the_rule_first() -> None:
    details = {"reason": "operational", "notes": NOTES}
    line = text_of(audit_line(_logged("TRIP", details)))
    assert "component:execution · rule slippage-run of BTC-USD · five" in line
    assert "rule slippage-run" in line[:80]
    assert "automation1" not in line
    person = text_of(audit_line(_logged("TRIP", details, "operator-act")))
    assert "component:execution by automation1 · operational: Rule" in person


@pytest.mark.parametrize(
    ("share", "words"),
    [
        ("0.5", "trading at 50 %"),
        ("1", "trading in full"),
        (None, "trading in full"),
        ("NaN", "trading in full"),
    ],
)
def test_the_end_of_a_quiet_period_at_half_size_is_not_trading_in_full(share: str | None, words: str) -> None:
    details = {} if share is None else {"share": share}
    assert words in text_of(audit_line(_logged("QUIET_END", details)))


def _result(ordinal: int, passed: bool) -> ProbeResult:
    return ProbeResult(
        "run", ordinal, f"probe-{ordinal}", Epoch(RUN, 3), "operator1", passed, 12.0, "read (wanted)",
        NOW + timedelta(seconds=ordinal),
    )  # fmt: skip


def test_a_result_that_came_after_the_verdict_is_marked() -> None:
    run = ProbeRun(
        run_id="run", breaker_id=BTC, epoch=Epoch(RUN, 3), login="operator1", started_at=NOW,
        deadline=NOW + timedelta(seconds=60), close_until=NOW + timedelta(seconds=600),
        probes=tuple(f"probe-{ordinal}" for ordinal in range(5)), required=4, status=RunStatus.FAILED,
        verdict="2 of 5 probes failed; 4 must pass",
    )  # fmt: skip
    row = RunRow(run, "request", "person", tuple(_result(n, n == 0) for n in range(4)), NOW, None)
    late = [text_of(line) for line in run_lines(board(), BTC, row, 76) if "not counted" in text_of(line)]
    assert len(late) == 1 and "✗ probe-3" in late[0] and len(late[0]) <= 76


def test_every_key_has_one_id_and_no_screen_uses_one_twice() -> None:
    assert len({key.key_id for key in ALL}) == len(ALL)
    assert remapping_faults({}) == []
    assert "no binding" in remapping_faults({"fly": "x"})[0]
    assert "means both" in remapping_faults({"trip": "h"})[0]


@pytest.mark.parametrize(
    ("term", "encoding", "expected"),
    [("xterm", "utf-8", False), ("linux", "UTF-8", True), ("vt100", "utf-8", True), ("xterm", "ascii", True)],
)
def test_ascii_where_symbols_would_not_show(term: str, encoding: str, expected: bool) -> None:  # F22
    assert ascii_only({"TERM": term}, encoding) is expected


def test_states_stay_apart_in_ascii() -> None:
    words = {
        to_ascii(text_of(row_line(breaker_row(board(**{"global": state}), GLOBAL), 79))) for state in State
    }
    assert len(words) == len(State)
    assert all(word.isascii() for word in words)


def test_the_last_door_before_the_terminal_is_shut_and_columns_count_cells() -> None:  # I26
    """Whoever forgets to clean a text: a line view does it; and a wide character takes two cells."""
    assert not set(safe("\x1b[2J\x9b31m\u202e止まれ")) & set("\x1b\x9b\u202e")
    assert [cell_len(fit(text, 10)) for text in ("止まれ", "止まれ停止全取引", "plain")] == [10, 10, 10]
    lines = fold((("no authority answers; ", "dim"), ("nothing can resume", "")), 24, 2)
    assert [text_of(line).strip() for line in lines] == ["no authority answers;", "nothing can resume"]


def test_a_word_longer_than_a_line_is_broken_and_not_cut() -> None:
    """The end of a path, and the line number after it, is what somebody needs."""
    text = "slos: /srv/a/very/long/folder/of/objectives/bad.yaml:3: 漢字漢字 is no objective"
    for cells in (7, 10, 40):
        lines = wrap(text, cells, 99)
        assert all(width(line) <= cells for line in lines)
        shown = "".join(piece for line in lines for piece, _ in line)
        assert shown.replace(" ", "") == text.replace(" ", "")
