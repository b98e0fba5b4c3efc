"""What a trip's incident is called, and how grave it is. Pure."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import BreakerId, Scope, is_switch, scope_of, switch_of, symbol_of
from cockpit.domain.incidents import Severity
from cockpit.domain.text import clean

_GRAVE: Final = (Scope.GLOBAL, Scope.WITHDRAWALS)
_STRICTER: Final = (Scope.SOFT_HALT, Scope.HARD_HALT)


def trip_severity(breaker_id: BreakerId) -> Severity:
    """Of a person's trip: what halts everybody pages."""
    return Severity.P1 if scope_of(breaker_id) in _GRAVE else Severity.P2


def stricter_switches(breaker_id: BreakerId) -> tuple[BreakerId, ...]:
    """Beside which a trip of `cancel_only` is the first half of a loosening; none for anything else."""
    if scope_of(breaker_id) is not Scope.CANCEL_ONLY:
        return ()
    return tuple(switch_of(scope, symbol_of(breaker_id)) for scope in _STRICTER)


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
