"""The contract's key names in Redis."""

from __future__ import annotations

from typing import Final

from cockpit.domain.breakers import BreakerId

COUNTER_KEY: Final = "trip:"
DOCUMENT_KEY: Final = "breaker:"
LEGACY_KEY: Final = "circuit_breaker:state"
HISTORY_KEY: Final = "circuit_breaker:history"
EVENTS_KEY: Final = "circuit_breaker:events"
ACK_KEY: Final = "gate:ack:"
TERM_KEY: Final = "authority:term"


def counter_key(breaker_id: BreakerId) -> str:
    return COUNTER_KEY + breaker_id


def document_key(breaker_id: BreakerId) -> str:
    return DOCUMENT_KEY + breaker_id
