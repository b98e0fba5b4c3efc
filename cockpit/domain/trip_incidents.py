"""What a trip's incident is called, how grave it is, and which one under way it belongs to. Pure."""

from __future__ import annotations

import re
from typing import Final

from cockpit.domain.breakers import OF_A_SYMBOL, BreakerId, Scope, is_switch, scope_of, switch_of, symbol_of
from cockpit.domain.incidents import Severity
from cockpit.domain.text import clean

_GRAVE: Final = (Scope.GLOBAL, Scope.WITHDRAWALS)
_STRICTER: Final = (Scope.SOFT_HALT, Scope.HARD_HALT)
_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?"
_TICKET: Final = re.compile(_ID)
_IN_NOTES: Final = re.compile(rf"\bincident (?:P[0-3] )?({_ID})\b")


def trip_severity(breaker_id: BreakerId) -> Severity:
    """Of a person's trip: what halts everybody pages."""
    return Severity.P1 if scope_of(breaker_id) in _GRAVE else Severity.P2


def stricter_switches(breaker_id: BreakerId) -> tuple[BreakerId, ...]:
    """Beside which a trip of `cancel_only` is the first half of a loosening; none for anything else."""
    if scope_of(breaker_id) is not Scope.CANCEL_ONLY:
        return ()
    return tuple(switch_of(scope, symbol_of(breaker_id)) for scope in _STRICTER)


def same_matter(breaker_id: BreakerId) -> tuple[str, ...]:
    """What an incident under way is linked to that a person's trip belongs to: the breaker itself; of a
    switch also its instrument and that one's other switches, so that one after the other is one matter."""
    if not is_switch(breaker_id) or scope_of(breaker_id) is Scope.WITHDRAWALS:
        return (breaker_id,)
    symbol = symbol_of(breaker_id)
    return (f"{Scope.INSTRUMENT.value}:{symbol}", *(switch_of(scope, symbol) for scope in OF_A_SYMBOL))


def named_incident(notes: str, ticket: str) -> str:
    """The beginning, or all, of the id of the incident that a trip says it is for: its ticket, or `incident
    P1 1a2b3c4d` in its notes, as the page of the first five minutes writes; "" where it names none."""
    if _TICKET.fullmatch(ticket):
        return ticket
    found = _IN_NOTES.search(notes)
    return found[1] if found else ""


def trip_title(breaker_id: BreakerId, login: str, reason: str, ticket: str) -> str:
    """Of a breaker's trip and of a switch that somebody set; `ticket` is "" without one."""
    if not is_switch(breaker_id):
        return clean(f"{breaker_id} tripped by {login}: {reason}", 200)
    told = f"{login} ({ticket})" if ticket else login
    return clean(f"{_halt(breaker_id)} by {told}: {reason}", 200)


def _halt(switch: BreakerId) -> str:
    match scope_of(switch):
        case Scope.WITHDRAWALS:
            return "withdrawals halted"
        case Scope.LATCH:
            return f"safety latch of {symbol_of(switch)} set"
        case scope:
            return f"{symbol_of(switch)} set to {scope.value.upper()}"
