"""What a trip's incident is called. Pure."""

from __future__ import annotations

from cockpit.domain.breakers import BreakerId, Scope, is_switch, scope_of, symbol_of
from cockpit.domain.text import clean


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
