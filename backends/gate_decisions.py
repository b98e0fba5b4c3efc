"""What the gate answers: decisions about orders and about withdrawals, and their words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from cockpit.domain.breakers import BreakerId, is_switch
from cockpit.domain.documents import Effective, Epoch, Reading
from cockpit.domain.modes import Mode, OrderKind
from cockpit.domain.states import State
from cockpit.domain.switches import SymbolMode

FREE: Final = SymbolMode("", Mode.NORMAL, False)
"""Of what has no switches."""
_HALTED: Final = frozenset({OrderKind.CANCEL, OrderKind.REDUCE_ONLY})
PERMITS: Final[Mapping[State, frozenset[OrderKind]]] = {
    State.OPEN: _HALTED,
    State.HALF_OPEN: _HALTED | {OrderKind.PROBE},
    State.QUIET_PERIOD: frozenset(OrderKind),
    State.CLOSED: frozenset(OrderKind),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one order.

    `halted_by` is the topmost breaker that imposes `effective_state`, a switch of the instrument where no
    breaker does, `unreadable: …` where Redis could not be read, or None while CLOSED; `why` says it in words.
    `permits` is what the state, the mode and the latch all permit. `mode` is the strictest that is known to
    be set, and `latched` whether the latch is set; a switch in doubt halts as an OPEN breaker does, and traps
    nothing. `size_share` is the share of normal size for orders that add risk: 0 unless CLOSED or
    QUIET_PERIOD. `epoch` is the instrument's (None where its counter could not be read); `epochs` holds the
    counter of each breaker that was asked and has one.
    """

    effective_state: State
    halted_by: str | None
    permits: frozenset[OrderKind]
    size_share: Decimal
    epoch: Epoch | None
    epochs: Mapping[BreakerId, int] = field(default_factory=dict)
    why: str = ""
    mode: Mode = Mode.NORMAL
    latched: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """Whether withdrawals may be made. `epoch` is the switch's, None where its counter could not be read."""

    permitted: bool
    why: str
    epoch: Epoch | None


def decided(
    state: State,
    halted_by: str | None,
    share: Decimal,
    epoch: Epoch | None,
    epochs: Mapping[BreakerId, int],
    why: str,
    switches: SymbolMode,
) -> Decision:
    permits = PERMITS[state] & switches.allows
    return Decision(state, halted_by, permits, share, epoch, epochs, why, switches.mode, switches.latched)


def halt(halted_by: str, why: str) -> Decision:
    return decided(State.OPEN, halted_by, Decimal(0), None, {}, why, FREE)


def words(found: Effective, readings: Mapping[BreakerId, Reading]) -> str:
    if found.halted_by is None:
        return found.state.label
    word = "set" if is_switch(found.halted_by) else found.state.label
    return f"{found.halted_by} is {word}{said_of(readings[found.halted_by])}"


def said_of(reading: Reading) -> str:
    kept = reading.document
    said = reading.doubt or (f"{kept.reason}: {kept.notes}" if kept and kept.notes else "")
    return f" ({said})" if said else ""
