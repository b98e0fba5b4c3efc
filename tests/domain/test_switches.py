"""Switches of the domain: their names, modes, tickets, and what is known of one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit.domain.breakers import (
    GLOBAL,
    OF_A_SYMBOL,
    WITHDRAWALS,
    BreakerId,
    Catalogue,
    InvalidBreakerId,
    Scope,
    is_switch,
    parse_breaker_id,
    switch_of,
    symbol_of,
)
from cockpit.domain.documents import Document, Epoch, Reading, effective
from cockpit.domain.modes import Mode, OrderKind, mode_of, switch_for
from cockpit.domain.states import State
from cockpit.domain.switches import (
    BadTicket,
    instrument_of,
    is_set,
    parse_ticket,
    surely_set,
    switches_of,
    symbol_mode,
    takes_ticket,
)

CATALOGUE = Catalogue.build(["execution"], ["BTC-USD", "ETH-USD"], ["momentum"])
BTC = BreakerId("instrument:BTC-USD")
HARD, SOFT, CANCEL_ONLY, LATCH = (
    switch_of(scope, "BTC-USD")
    for scope in (Scope.HARD_HALT, Scope.SOFT_HALT, Scope.CANCEL_ONLY, Scope.LATCH)
)
RUN, OTHER = "a" * 40, "b" * 40


def document(name: BreakerId, state: State, counter: int = 1, run_id: str = RUN) -> Document:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Document(name, state, Epoch(run_id, counter), (), 1, "x", "", "", "e", now)


def reading(name: BreakerId, state: State, kept: Document | None = None, counter: int | None = 1) -> Reading:
    epoch = Epoch(RUN, counter) if counter is not None else None
    return Reading(name, state, epoch, kept, None if state is State.CLOSED else "doubt")


def test_switches_are_no_breakers() -> None:
    assert not any(is_switch(name) for name in CATALOGUE.ids)
    assert all(is_switch(name) for name in CATALOGUE.switches)
    assert len(CATALOGUE.switches) == 9 and CATALOGUE.switches[0] == WITHDRAWALS
    assert CATALOGUE.everything == (*CATALOGUE.ids, *CATALOGUE.switches)
    assert CATALOGUE.switches_of(BTC) == (HARD, SOFT, CANCEL_ONLY, LATCH)
    assert CATALOGUE.switches_of(GLOBAL) == CATALOGUE.switches_of(HARD) == ()
    assert set(switches_of("BTC-USD")) == set(CATALOGUE.switches_of(BTC))
    for name in CATALOGUE.switches:
        assert name in CATALOGUE and CATALOGUE.ancestors(name) == CATALOGUE.descendants(name) == ()
        assert CATALOGUE.known(name) == parse_breaker_id(name) == name
        with pytest.raises(InvalidBreakerId, match="is a switch"):
            CATALOGUE.known_breaker(name)
    assert CATALOGUE.known_breaker(BTC) == BTC
    assert instrument_of(LATCH) == BTC and symbol_of(WITHDRAWALS) == ""


@pytest.mark.parametrize("text", ["withdrawals:x", "latch", "latch:", "hard_halt: ", "cancel-only:BTC-USD"])
def test_a_malformed_switch_is_no_name(text: str) -> None:
    with pytest.raises(InvalidBreakerId):
        parse_breaker_id(text)


@pytest.mark.parametrize(("child", "parent"), [("latch:X", "global"), ("component:x", "withdrawals")])
def test_a_switch_stands_in_no_hierarchy(child: str, parent: str) -> None:
    with pytest.raises(InvalidBreakerId, match="no hierarchy"):
        Catalogue({"component:execution": "global", child: parent})


def test_the_matrix_of_modes() -> None:
    assert [mode.strictness for mode in Mode] == [0, 1, 2, 3]
    assert {mode: set(mode.allows) for mode in Mode} == {
        Mode.NORMAL: set(OrderKind),
        Mode.CANCEL_ONLY: {OrderKind.CANCEL},
        Mode.SOFT_HALT: {OrderKind.CANCEL},
        Mode.HARD_HALT: set(),
    }
    assert [mode.fills for mode in Mode] == [True, True, False, False]
    assert [mode.traps for mode in Mode] == [False, False, False, True]
    for low, high in zip(Mode, list(Mode)[1:], strict=False):
        assert high.allows <= low.allows  # I5: a stricter mode permits no more
    assert switch_for(Mode.NORMAL, "BTC-USD") is None


@given(st.sets(st.sampled_from((HARD, SOFT, CANCEL_ONLY))))
def test_the_strictest_mode_that_is_set_counts(names: set[BreakerId]) -> None:
    found = mode_of("BTC-USD", names.__contains__)
    by_name = {HARD: Mode.HARD_HALT, SOFT: Mode.SOFT_HALT, CANCEL_ONLY: Mode.CANCEL_ONLY}
    worst = max((by_name[name] for name in names), key=lambda mode: mode.strictness, default=Mode.NORMAL)
    assert found is worst


def test_tickets() -> None:
    for good in ("OPS-1", "a", "A/b#3.c_d", "x" * 40, " OPS-2 "):
        assert parse_ticket(good) == good.strip()
    for bad in ("", "-1", "two words", "x" * 41, "é1", "a\n1", "a\u202e"):
        with pytest.raises(BadTicket, match="ticket"):
            parse_ticket(bad)
    assert takes_ticket(WITHDRAWALS) and takes_ticket(HARD) and not takes_ticket(LATCH)


@pytest.mark.parametrize(
    ("found", "known"),
    [
        (None, False),
        (reading(HARD, State.CLOSED, document(HARD, State.CLOSED)), False),
        (reading(HARD, State.OPEN), False),  # nothing there: in doubt
        (reading(HARD, State.OPEN, document(HARD, State.OPEN)), True),
        (reading(HARD, State.OPEN, document(HARD, State.OPEN, 9, OTHER)), True),  # before a restart
        (reading(HARD, State.OPEN, document(HARD, State.CLOSED), 2), True),  # tripped since
        (reading(HARD, State.OPEN, document(HARD, State.CLOSED, 2), 1), False),  # a counter that went back
        (
            reading(HARD, State.OPEN, document(HARD, State.CLOSED, 1, OTHER), 2),
            False,
        ),  # released, then restarted
        (reading(HARD, State.OPEN, document(HARD, State.CLOSED), None), False),
        (reading(HARD, State.OPEN, document(SOFT, State.OPEN)), False),  # another one's document
    ],
)
def test_what_is_known_to_be_set(found: Reading | None, known: bool) -> None:  # I4
    assert surely_set(found) is known
    assert is_set(found) is (found is None or found.state is not State.CLOSED)
    readings = {name: reading(name, State.CLOSED) for name in switches_of("BTC-USD")}
    readings = {**readings, HARD: found} if found else {k: v for k, v in readings.items() if k != HARD}
    whole = symbol_mode("BTC-USD", readings)
    assert whole.normal is not is_set(found)
    if known:
        assert (whole.mode, whole.allows, whole.doubts) == (Mode.HARD_HALT, frozenset(), ())
    elif is_set(found):
        assert (whole.mode, whole.doubts) == (Mode.NORMAL, (HARD,))
        assert whole.allows == {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}


def test_a_latch_is_one_whether_known_or_in_doubt() -> None:  # I4
    readings = {name: reading(name, State.CLOSED) for name in switches_of("BTC-USD")}
    assert symbol_mode("BTC-USD", readings).normal
    for kept in (None, document(LATCH, State.OPEN)):
        found = symbol_mode("BTC-USD", {**readings, LATCH: reading(LATCH, State.OPEN, kept)})
        assert found.latched and found.mode is Mode.NORMAL and not found.normal
        assert found.allows == {OrderKind.CANCEL, OrderKind.REDUCE_ONLY}


@given(
    st.fixed_dictionaries({name: st.sampled_from(State) for name in (*CATALOGUE.ids, *CATALOGUE.switches)}),
    st.sets(st.sampled_from(CATALOGUE.everything)),
)
def test_an_instrument_is_open_while_a_switch_of_it_is_not_closed(
    states: dict[BreakerId, State], missing: set[BreakerId]
) -> None:  # I4, I5
    readings = {name: reading(name, state) for name, state in states.items() if name not in missing}
    found = effective(BTC, readings, CATALOGUE)

    def open_(name: BreakerId) -> bool:
        return name not in readings or readings[name].state is State.OPEN

    chain = (BTC, *CATALOGUE.ancestors(BTC))
    held = [name for name in CATALOGUE.switches_of(BTC) if is_set(readings.get(name))]
    if held:
        assert (found.state, found.size_share) == (State.OPEN, 0)
        above = [name for name in reversed(chain) if open_(name)]
        assert found.halted_by == (above or held)[0]
    elif any(open_(name) for name in chain):
        assert found.state is State.OPEN and found.halted_by in chain


@pytest.mark.parametrize("name", CATALOGUE.switches_of(BTC))
def test_each_switch_alone_opens_its_instrument(name: BreakerId) -> None:  # I4
    readings = {
        each: Reading(each, State.CLOSED, Epoch(RUN, 1), document(each, State.CLOSED))
        for each in CATALOGUE.everything
    }
    assert effective(BTC, readings, CATALOGUE).state is State.CLOSED
    for state in (State.OPEN, State.HALF_OPEN, State.QUIET_PERIOD):
        found = effective(BTC, {**readings, name: reading(name, state)}, CATALOGUE)
        assert (found.state, found.halted_by, found.size_share) == (State.OPEN, name, 0)
    del readings[name]
    assert effective(BTC, readings, CATALOGUE).halted_by == name
    assert effective(BreakerId("instrument:ETH-USD"), readings, CATALOGUE).state is State.CLOSED


def test_a_limit_of_the_catalogue_is_not_its_switches() -> None:
    assert len(CATALOGUE) == len(CATALOGUE.ids) == 5
    assert [scope.switch for scope in OF_A_SYMBOL] == [True] * 4
