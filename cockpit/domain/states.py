"""Breaker states and the one transition table that every path and test uses.

Electrical sense: a CLOSED breaker lets trading through. No state is ever shown without its meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    QUIET_PERIOD = "QUIET_PERIOD"

    @property
    def meaning(self) -> str:
        """What the state means for trading, in one word."""
        return _MEANING[self]

    @property
    def strictness(self) -> int:
        """0 (CLOSED) to 3 (OPEN); the strictest of a breaker and its ancestors is effective."""
        return _STRICTNESS[self]

    @property
    def metric(self) -> int:
        """Value of the `breaker_state` metric: 0 CLOSED, 1 OPEN, 2 HALF_OPEN, 3 QUIET_PERIOD."""
        return _METRIC[self]

    @property
    def label(self) -> str:
        return f"{self.value} · {self.meaning}"


_MEANING: Final = {
    State.CLOSED: "TRADING",
    State.OPEN: "HALTED",
    State.HALF_OPEN: "PROBING",
    State.QUIET_PERIOD: "LIMITED",
}
_STRICTNESS: Final = {State.CLOSED: 0, State.QUIET_PERIOD: 1, State.HALF_OPEN: 2, State.OPEN: 3}
_METRIC: Final = {State.CLOSED: 0, State.OPEN: 1, State.HALF_OPEN: 2, State.QUIET_PERIOD: 3}


class Transition(StrEnum):
    """Everything that moves a breaker."""

    TRIP = "TRIP"
    BEGIN_PROBES = "BEGIN_PROBES"
    EXTEND_PROBES = "EXTEND_PROBES"  # a passed run: HALF_OPEN holds until the close window ends
    CLOSE = "CLOSE"
    END_QUIET_PERIOD = "END_QUIET_PERIOD"
    GENESIS = "GENESIS"
    RESTORE_CLOSED = "RESTORE_CLOSED"
    RESTORE_QUIET_PERIOD = "RESTORE_QUIET_PERIOD"
    LIMIT = "LIMIT"  # the same state with a smaller size share
    LIFT = "LIFT"  # the same state with a larger one
    RELEASE = "RELEASE"  # of a switch, never of a breaker


TRANSITIONS: Final[dict[tuple[State, Transition], State]] = {
    (State.CLOSED, Transition.TRIP): State.OPEN,
    (State.OPEN, Transition.TRIP): State.OPEN,
    (State.HALF_OPEN, Transition.TRIP): State.OPEN,
    (State.QUIET_PERIOD, Transition.TRIP): State.OPEN,
    (State.OPEN, Transition.BEGIN_PROBES): State.HALF_OPEN,
    (State.HALF_OPEN, Transition.EXTEND_PROBES): State.HALF_OPEN,
    (State.HALF_OPEN, Transition.CLOSE): State.QUIET_PERIOD,
    (State.QUIET_PERIOD, Transition.END_QUIET_PERIOD): State.CLOSED,
    (State.OPEN, Transition.GENESIS): State.CLOSED,
    (State.OPEN, Transition.RESTORE_CLOSED): State.CLOSED,
    (State.OPEN, Transition.RESTORE_QUIET_PERIOD): State.QUIET_PERIOD,
    (State.OPEN, Transition.RELEASE): State.CLOSED,
    (State.CLOSED, Transition.LIMIT): State.CLOSED,
    (State.CLOSED, Transition.LIFT): State.CLOSED,
    (State.QUIET_PERIOD, Transition.LIMIT): State.QUIET_PERIOD,
    (State.QUIET_PERIOD, Transition.LIFT): State.QUIET_PERIOD,
}
TIGHTENING: Final = frozenset({Transition.TRIP, Transition.LIMIT})
"""What waits for no second store (I6); everything else is a loosening and commits as one."""
OF_SWITCHES: Final = frozenset(
    {Transition.TRIP, Transition.RELEASE, Transition.GENESIS, Transition.RESTORE_CLOSED}
)
"""All that a switch knows; a breaker knows everything but RELEASE."""
SIZED: Final = frozenset({State.CLOSED, State.QUIET_PERIOD})
"""The states whose documents carry a share of normal size that means something."""


class IllegalTransition(ValueError):
    """The table has no such move."""

    def __init__(self, state: State, transition: Transition) -> None:
        super().__init__(f"no {transition.value} from {state.label}")
        self.state = state
        self.transition = transition


def after(state: State, transition: Transition) -> State:
    """The state that `transition` leads to from `state`.

    Raises:
        IllegalTransition: the table has no such move.
    """
    try:
        return TRANSITIONS[state, transition]
    except KeyError:
        raise IllegalTransition(state, transition) from None


def loosens(before: State, now: State) -> bool:
    """Whether a move from `before` to `now` lets more trading through."""
    return now.strictness < before.strictness


def strictest(*states: State) -> State:
    """The strictest of `states`; OPEN when there are none (nothing known is no permission)."""
    return max(states, key=lambda state: state.strictness, default=State.OPEN)
