"""The stream's events of trips: read, bounded, and kept until an increment is found that they explain.

The stream is a hint, and whoever may trip can write anything into it. Whose signature an event bears is
looked at here only so that nobody's events crowd out another's; the drain asks what it proves.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from backends.redis_authority import STREAM_LENGTH
from backends.signing import verify
from backends.trip_exchange import event_fields
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.identity import Rejected, decode_payload
from cockpit.authority.means import Means
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.snapshots import StreamEvent

MOST_BATCHES: Final = 250  # of 100 entries, in one turn
MOST_WAITING: Final = 300  # events of one breaker and login
MOST_CLAIMS: Final = 20
MOST_COPIES: Final = 5
FRESH_MS: Final = 5_000.0  # how long an event that is audited already may explain one more increment
UNDELIVERED: Final = "9999999999999-0"  # in place of an id: an event that waits for its increment
_KEYS: Final = """
SELECT key_id, login, public_key FROM signing_keys WHERE key_id = ANY ($1::text[]) AND revoked_at IS NULL
"""
_AUDITED: Final = """
SELECT DISTINCT event_id FROM audit_log WHERE event_id = ANY ($1::text[]) AND action = 'CIRCUIT_BREAKER_TRIP'
"""


class TripEvents:
    """Keeps its place in the stream, and what it has read that explains no increment yet."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._place = "0-0"
        self._waiting: dict[BreakerId, list[StreamEvent]] = {}
        self._again: set[str] = set()  # entries of it that were audited when they were read
        self._signers: dict[str, str] = {}  # whose signature an entry of it bears, empty for nobody's

    def expect(self, event: StreamEvent) -> None:
        """An event that the stream did not take, of a trip that Redis did."""
        self._waiting.setdefault(BreakerId(event.breaker_id), []).append(event)

    def waiting(self, breaker_id: BreakerId) -> list[StreamEvent]:
        """Those of this breaker, oldest first: the list itself, and what explains an increment leaves it."""
        return self._waiting.get(breaker_id, [])

    def outdated(self, event: StreamEvent, now: datetime) -> bool:
        """Whether it was audited when it was read, and is too old to explain one more increment."""
        return event.entry_id in self._again and _age_ms(event) <= now.timestamp() * 1_000 - FRESH_MS

    async def read(self, now: datetime) -> None:
        """Take in what the stream has. What is audited already counts once more only while it is fresh: an
        old event read again at a start explains no new increment."""
        fresh = now.timestamp() * 1_000 - FRESH_MS
        means = self._means
        try:
            await self.bound(now)
            for _ in range(MOST_BATCHES):  # somebody may write faster than we read
                events = await means.redis.read_events(self._place, 0.0)
                if not events:
                    break
                self._place = events[-1].entry_id
                trips = [
                    event for event in events if _plausible(event) and event.breaker_id in means.catalogue
                ]
                if not trips:
                    continue
                async with means.pool.acquire() as connection:
                    rows = await connection.fetch(_AUDITED, [event.event_id for event in trips])
                    keys = await _keys(connection, trips)
                audited = {row["event_id"] for row in rows}
                for event in trips:
                    again = event.event_id in audited
                    if again and _age_ms(event) > fresh:
                        self._again.add(event.entry_id)
                    if not again or event.entry_id in self._again:
                        self._keep(event, keys)
        except (StoreUnreachable, Refused) as error:
            means.health.changed("events", str(error))

    async def bound(self, now: datetime) -> None:
        """The stream is a hint of bounded length: what a flood has pushed out of it explains no trip. One
        that is no stream, or takes no entry, is the watch's to rebuild."""
        says = event_fields(str(uuid4()), GLOBAL, "ALARM", AUTHORITY, rfc3339(now))
        # Refused: rights from before XLEN was among them, which `cockpit init` renews.
        with contextlib.suppress(StoreUnreachable, Refused):
            if not await self._means.redis.trim_events(STREAM_LENGTH, says):
                return
            why = "circuit_breaker:events was flooded and cut to its newest entries"
            self._means.health.alarm(now, "event stream", GLOBAL, why)

    def _keep(self, event: StreamEvent, keys: Mapping[str, tuple[str, bytes]]) -> None:
        """Let an event wait for its increment. A login has room for so many on a breaker, and all those that
        nobody signed, which can only be claims, have little; copies of one event have less: whoever adds
        more crowds out nobody else."""
        waiting = self._waiting.setdefault(BreakerId(event.breaker_id), [])
        signer = _signer(event, keys)
        theirs = [other for other in waiting if self._signers.get(other.entry_id) == signer]
        if len(theirs) >= (MOST_WAITING if signer else MOST_CLAIMS):
            return
        if sum(other.payload == event.payload for other in theirs) >= MOST_COPIES:
            return
        self._signers[event.entry_id] = signer
        waiting.append(event)

    def forget_forgeries(self, now: datetime) -> None:
        """Events beyond what the counters counted belong to no trip: INCR and event are one transaction."""
        horizon = now.timestamp() * 1_000 - 1_000
        for name, events in list(self._waiting.items()):
            self._waiting[name] = [event for event in events if _age_ms(event) > horizon]
            if not self._waiting[name]:
                del self._waiting[name]
        kept = {event.entry_id for events in self._waiting.values() for event in events}
        self._again &= kept
        self._signers = {entry: login for entry, login in self._signers.items() if entry in kept}


def trip_of(event: StreamEvent) -> Command | None:
    """The trip of its breaker that an event says was asked for; None where its payload says no such thing."""
    try:
        command = decode_payload(event.payload)
    except Rejected:
        return None
    return command if command.kind is Kind.TRIP and command.breaker_id == event.breaker_id else None


def _plausible(event: StreamEvent) -> bool:
    return event.kind == "TRIP" and bool(event.payload)


async def _keys(connection: Any, events: Sequence[StreamEvent]) -> dict[str, tuple[str, bytes]]:
    """The valid keys that `events` name, each with its login. What that may do is asked at the trip."""
    keys: dict[str, tuple[str, bytes]] = {}
    for row in await connection.fetch(_KEYS, list({event.key_id for event in events})):
        with contextlib.suppress(binascii.Error, ValueError):
            keys[row["key_id"]] = (row["login"], base64.b64decode(row["public_key"], validate=True))
    return keys


def _signer(event: StreamEvent, keys: Mapping[str, tuple[str, bytes]]) -> str:
    """The login that signed this trip of this breaker, empty where none has."""
    login, public_key = keys.get(event.key_id, ("", b""))
    if not login or not verify(public_key, event.payload, event.signature):
        return ""
    trip = trip_of(event)
    return login if trip is not None and trip.login == login else ""


def _age_ms(event: StreamEvent) -> float:
    first = event.entry_id.partition("-")[0]
    return float(first) if first.isdigit() else 0.0
