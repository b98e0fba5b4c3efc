"""What the switches of an instrument say together, and the ticket that a switch is set under.

Doubt halts and never traps. A switch that cannot be read imposes what an OPEN breaker imposes: nothing that
adds risk, while cancels and reduce-only orders pass. Only one that is known to be set takes these away too,
or every loss of Redis would trap all resting orders, and no kill switch could clear them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cockpit.domain.breakers import OF_A_SYMBOL, BreakerId, Scope, scope_of, switch_of, symbol_of
from cockpit.domain.documents import Reading
from cockpit.domain.modes import LATCHED, Mode, OrderKind, mode_of
from cockpit.domain.states import State

_TICKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,39}", re.ASCII)


class BadTicket(ValueError):
    """Not a ticket's id; the message says what would be right."""


def parse_ticket(text: str) -> str:
    """
    Raises:
        BadTicket: not 1 to 40 of letters, digits, `.`, `_`, `/`, `#` and `-`, beginning with one of the
        former.
    """
    ticket = text.strip()
    if not _TICKET.fullmatch(ticket):
        raise BadTicket(f"ticket {ticket[:60]!r} is not 1 to 40 letters, digits, '.', '_', '/', '#' or '-'")
    return ticket


def takes_ticket(switch: BreakerId) -> bool:
    """Whether it is set and released under a ticket; a latch, which a breach sets, is not."""
    return scope_of(switch) is not Scope.LATCH


def surely_set(reading: Reading | None) -> bool:
    """Whether a switch is known to be set, by somebody's act: its document says so, of whatever epoch, or it
    was tripped since one was written on this server. Any other reading but CLOSED is a doubt."""
    if reading is None or reading.state is State.CLOSED or reading.document is None:
        return False
    document, epoch = reading.document, reading.epoch
    if document.breaker_id != reading.breaker_id:
        return False
    if document.state is not State.CLOSED:
        return True
    return (
        epoch is not None and epoch.run_id == document.epoch.run_id and epoch.counter > document.epoch.counter
    )


def is_set(reading: Reading | None) -> bool:
    """Whether a switch is set or in doubt (I4)."""
    return reading is None or reading.state is not State.CLOSED


def switches_of(symbol: str) -> tuple[BreakerId, ...]:
    """The four switches of an instrument."""
    return tuple(switch_of(scope, symbol) for scope in OF_A_SYMBOL)


@dataclass(frozen=True, slots=True)
class SymbolMode:
    """What an instrument's switches leave of it. `mode` is the strictest that is known to be set; `doubts`
    are the switches that cannot be read, which halt as an OPEN breaker does."""

    symbol: str
    mode: Mode
    latched: bool
    doubts: tuple[BreakerId, ...] = ()

    @property
    def normal(self) -> bool:
        """Whether nothing here is set or in doubt."""
        return self.mode is Mode.NORMAL and not self.latched and not self.doubts

    @property
    def allows(self) -> frozenset[OrderKind]:
        allowed = self.mode.allows
        return allowed & LATCHED if self.latched or self.doubts else allowed


def symbol_mode(
    symbol: str,
    readings: Mapping[BreakerId, Reading],
    known: Callable[[BreakerId, Reading | None], bool] = lambda _, reading: surely_set(reading),
) -> SymbolMode:
    """`known` says of a switch and its reading whether it is known to be set; the gate, which remembers what
    it read last, has more to go by."""

    def setting(name: BreakerId) -> bool:
        return known(name, readings.get(name))

    doubts = tuple(name for name in switches_of(symbol) if is_set(readings.get(name)) and not setting(name))
    latch = switch_of(Scope.LATCH, symbol)
    return SymbolMode(symbol, mode_of(symbol, setting), is_set(readings.get(latch)), doubts)


def instrument_of(switch: BreakerId) -> BreakerId:
    """The breaker of the instrument that a switch is one of."""
    return BreakerId(f"{Scope.INSTRUMENT.value}:{symbol_of(switch)}")
