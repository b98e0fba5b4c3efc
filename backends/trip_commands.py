"""The commands of one trip, and its receipt where all went well; for the rest see `trip_exchange`.

    XADD circuit_breaker:events · INCR trip:<id> · INFO server

in one write, and without MULTI: the event is a hint, and nothing that befalls it may undo the INCR. Inside
MULTI a denied XADD discards the INCR; and many servers (Redis 7.0 and 7.2 among them) drop whole transactions
when they read their append-only file back while the user `default` has no rights: acknowledged trips were
gone after a restart. The event goes first so that whoever reads a counter and then the stream finds the event
of every trip that was counted. `INCR` itself is sent: nobody has a right to `INCRBY`, which could lower a
counter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from backends.redis_keys import EVENTS_KEY, counter_key
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import SignedCommand
from cockpit.domain.documents import MAX_COUNTER, Epoch
from cockpit.domain.receipts import TripReceipt

Command = tuple[str | bytes | int, ...]
_RUN_ID: Final = re.compile(rb"(?:^|\n)run_id:([0-9a-f]{40})\r?\n")


def event_fields(
    event_id: str,
    breaker_id: BreakerId,
    kind: str,
    login: str,
    at: str,
    signed: SignedCommand | None = None,
) -> dict[str, str | bytes]:
    """The fields of a stream entry. `at` is RFC 3339 UTC, `login` a claim."""
    fields: dict[str, str | bytes] = {
        "event_id": event_id,
        "breaker_id": breaker_id,
        "kind": kind,
        "login": login,
        "at": at,
    }
    if signed is not None:
        fields |= {"payload": signed.payload, "key_id": signed.key_id, "signature": signed.signature}
    return fields


def trip_commands(breaker_id: BreakerId, fields: Mapping[str, str | bytes]) -> tuple[Command, ...]:
    flat = [part for pair in fields.items() for part in pair]
    return (("XADD", EVENTS_KEY, "*", *flat), ("INCR", counter_key(breaker_id)), ("INFO", "server"))


def plain_receipt(replies: Sequence[object]) -> TripReceipt | None:
    """The receipt of a trip to which every reply is the expected one; None where any is not."""
    match list(replies):
        case [bytes(), int(count), bytes(info)] if 0 < count <= MAX_COUNTER:
            run_id = _RUN_ID.search(info)
            return TripReceipt(Epoch(run_id[1].decode(), count), True) if run_id else None
    return None
