"""Symbol modes: what may be done with the orders of one instrument, whatever its breakers say.

A mode is made of three switches, so that each tightening is one INCR and needs nothing else; the strictest
one that is set counts. Source: exchange operations runbook 3.1 to 3.3 and 6. Its words, made exact:
CANCEL_ONLY takes cancels and lets what rests at the venue fill; in a SOFT_HALT nothing fills either; in a
HARD_HALT not even a cancel passes, so that resting orders are trapped as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from cockpit.domain.breakers import BreakerId, Scope, switch_of


class OrderKind(StrEnum):
    """What an order would do; PROBE is a paper order or another order of a probe run."""

    CANCEL = "cancel"
    REDUCE_ONLY = "reduce_only"
    PROBE = "probe"
    NEW = "new"


class Mode(StrEnum):
    NORMAL = "NORMAL"
    CANCEL_ONLY = "CANCEL_ONLY"
    SOFT_HALT = "SOFT_HALT"
    HARD_HALT = "HARD_HALT"

    @property
    def strictness(self) -> int:
        """0 (NORMAL) to 3 (HARD_HALT)."""
        return tuple(Mode).index(self)

    @property
    def allows(self) -> frozenset[OrderKind]:
        return _ALLOWS[self]

    @property
    def fills(self) -> bool:
        """Whether what rests at the venue may fill."""
        return self in (Mode.NORMAL, Mode.CANCEL_ONLY)

    @property
    def traps(self) -> bool:
        """Whether resting orders cannot be cancelled."""
        return OrderKind.CANCEL not in self.allows


_ALLOWS: Final[Mapping[Mode, frozenset[OrderKind]]] = {
    Mode.NORMAL: frozenset(OrderKind),
    Mode.CANCEL_ONLY: frozenset({OrderKind.CANCEL}),
    Mode.SOFT_HALT: frozenset({OrderKind.CANCEL}),
    Mode.HARD_HALT: frozenset(),
}
SWITCH: Final = {
    Mode.CANCEL_ONLY: Scope.CANCEL_ONLY,
    Mode.SOFT_HALT: Scope.SOFT_HALT,
    Mode.HARD_HALT: Scope.HARD_HALT,
}
"""Which switch sets which mode; NORMAL is none of them."""
LATCHED: Final = frozenset({OrderKind.CANCEL, OrderKind.REDUCE_ONLY})
"""What a set safety latch leaves of an instrument: as an OPEN breaker does."""


def switch_for(mode: Mode, symbol: str) -> BreakerId | None:
    """The switch whose INCR sets `mode`, None for NORMAL."""
    return switch_of(SWITCH[mode], symbol) if mode in SWITCH else None


def mode_of(symbol: str, is_set: Callable[[BreakerId], bool]) -> Mode:
    """The mode in force. `is_set` says of a switch whether it reads anything but CLOSED; what cannot be
    read is set (I4)."""
    for mode in reversed(SWITCH):
        if is_set(switch_of(SWITCH[mode], symbol)):
            return mode
    return Mode.NORMAL
