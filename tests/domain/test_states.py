"""The transition table: what may follow what, and that nothing else may."""

import itertools

import pytest

from cockpit.domain.states import (
    OF_SWITCHES,
    SIZED,
    TIGHTENING,
    TRANSITIONS,
    IllegalTransition,
    State,
    Transition,
    after,
    loosens,
    strictest,
)


def test_every_pair_is_either_in_the_table_or_refused() -> None:
    for state, transition in itertools.product(State, Transition):
        if (state, transition) in TRANSITIONS:
            assert after(state, transition) is TRANSITIONS[state, transition]
        else:
            with pytest.raises(IllegalTransition, match=state.value):
                after(state, transition)


@pytest.mark.parametrize("state", list(State))
def test_a_trip_is_legal_from_everywhere_and_leads_to_open(state: State) -> None:  # I6
    assert after(state, Transition.TRIP) is State.OPEN


def test_a_breaker_closes_only_through_a_quiet_period_genesis_or_restore() -> None:  # I1, I11
    into_closed = {
        move
        for (state, move), target in TRANSITIONS.items()
        if target is State.CLOSED and state is not State.CLOSED and move is not Transition.RELEASE
    }
    assert into_closed == {Transition.END_QUIET_PERIOD, Transition.GENESIS, Transition.RESTORE_CLOSED}
    timers = {Transition.END_QUIET_PERIOD}
    assert {state for state, move in TRANSITIONS if move in timers} == {State.QUIET_PERIOD}


def test_a_switch_is_set_released_granted_and_restored_and_nothing_else() -> None:  # I1
    assert {Transition.TRIP, Transition.RELEASE, Transition.GENESIS, Transition.RESTORE_CLOSED} == OF_SWITCHES
    assert [state for state in State if (state, Transition.RELEASE) in TRANSITIONS] == [State.OPEN]
    assert {after(state, move) for state, move in TRANSITIONS if move in OF_SWITCHES} == {
        State.OPEN,
        State.CLOSED,
    }


def test_strictness_orders_the_states() -> None:
    order = [State.OPEN, State.HALF_OPEN, State.QUIET_PERIOD, State.CLOSED]
    assert sorted(State, key=lambda state: -state.strictness) == order
    for left, right in itertools.product(State, State):
        assert strictest(left, right) is order[min(order.index(left), order.index(right))]
        assert loosens(left, right) is (order.index(left) < order.index(right))


def test_nothing_known_is_open() -> None:  # I4
    assert strictest() is State.OPEN


def test_each_state_is_shown_with_its_meaning_and_metric() -> None:
    assert [state.label for state in State] == [
        "CLOSED · TRADING",
        "OPEN · HALTED",
        "HALF_OPEN · PROBING",
        "QUIET_PERIOD · LIMITED",
    ]
    assert [state.metric for state in State] == [0, 1, 2, 3]


def test_a_change_of_size_moves_no_state_and_only_where_orders_are_let_through() -> None:
    for move in (Transition.LIMIT, Transition.LIFT):
        found = {state: target for (state, each), target in TRANSITIONS.items() if each is move}
        assert found == {State.CLOSED: State.CLOSED, State.QUIET_PERIOD: State.QUIET_PERIOD}
        assert set(found) == SIZED
    assert {Transition.TRIP, Transition.LIMIT} == TIGHTENING  # I6
