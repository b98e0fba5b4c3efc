"""Every trip into the audit log: matched to the counters, attributed where a signature proves who it was.

The stream is a hint. A counter's increments say how many trips there were; an event says who only where its
payload is signed by a registered key of that login and was not seen before. What no event explains is
recorded as an unattributed trip, once for each increment. Nothing here waits for the evidence store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import asyncpg

from backends.redis_authority import HistoryEntry
from cockpit.authority import faults
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.identity import Rejected, authorise, decode_payload, read_standing, verify_signer
from cockpit.authority.loosening import history_member
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.opening import OpenDocument, write_open_documents
from cockpit.authority.status import log
from cockpit.authority.trip_records import Trip, record_trip
from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Epoch
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean

MOST_AT_ONCE: Final = 200
FRESH_MS: Final = 5_000.0  # how long an event that is audited already may explain one more increment
UNDELIVERED: Final = "9999999999999-0"  # in place of an id: an event that waits for its increment
_UNSIGNED: Final = "Tripped without a signed request that can be verified."
_KNOWN: Final = "SELECT breaker_id, redis_run_id, counter FROM breakers"
_AUDITED: Final = """
SELECT DISTINCT event_id FROM audit_log WHERE event_id = ANY ($1::text[]) AND action = 'CIRCUIT_BREAKER_TRIP'
"""
_SEEN: Final = "SELECT 1 FROM audit_log WHERE event_id = $1 AND action = 'CIRCUIT_BREAKER_TRIP' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Increment:
    """One increment that is not in the audit log yet."""

    breaker_id: BreakerId
    epoch: Epoch


class Drain:
    """Keeps its place in the stream, and what it has read and not matched yet."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._place = "0-0"
        self._waiting: dict[BreakerId, list[StreamEvent]] = {}
        self._again: set[str] = set()  # entries of it that were audited when they were read

    def expect(self, event: StreamEvent) -> None:
        """An event that the stream did not take, of a trip that Redis did."""
        self._waiting.setdefault(BreakerId(event.breaker_id), []).append(event)

    async def take_events(self, world: World) -> None:
        """Take in what the stream holds now, before it is rebuilt."""
        await self._read_events(world.now)

    async def step(self, world: World) -> int:
        """Audit every increment in `world` that the log lacks; how many there were."""
        increments = await self._increments(world)
        if not increments:
            return 0
        # The counters were read before the events: each counted trip's event is among these by now.
        await self._read_events(world.now)
        opened: list[OpenDocument] = []
        means = self._means
        async with means.transaction() as connection:
            for increment in increments[:MOST_AT_ONCE]:
                opened.append(await self._record(connection, increment, world))
            await tell(connection, CHANGE)
        await means.fault(faults.AFTER_TRIP_AUDIT)
        for item in opened:
            means.backlog[item.proof.key] = item.evidence
        await write_open_documents(means, await means.reader.read(), opened)
        await self._history(opened)
        self._forget_forgeries(world)
        return len(increments)

    async def _increments(self, world: World) -> list[Increment]:
        """What Redis has counted past the audit log, on this server, oldest first."""
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_KNOWN)
        out = []
        for row in rows:
            name = BreakerId(row["breaker_id"])
            counter = world.counter(name) if name in self._means.catalogue else None
            if counter is None or row["redis_run_id"] != world.run_id:
                continue
            first = row["counter"] + 1
            last = min(counter, first + MOST_AT_ONCE - 1)  # the rest comes in the next turns
            out += [Increment(name, Epoch(world.run_id, n)) for n in range(first, last + 1)]
        return out

    async def _read_events(self, now: datetime) -> None:
        """Take in what the stream has. What is audited already counts once more only while it is fresh: an
        old event read again at a start explains no new increment."""
        fresh = now.timestamp() * 1_000 - FRESH_MS
        try:
            while events := await self._means.redis.read_events(self._place, 0.0):
                self._place = events[-1].entry_id
                trips = [event for event in events if event.kind == "TRIP" and event.payload]
                async with self._means.pool.acquire() as connection:
                    rows = await connection.fetch(_AUDITED, [event.event_id for event in trips])
                audited = {row["event_id"] for row in rows}
                for event in trips:
                    again = event.event_id in audited
                    if again and _age_ms(event) > fresh:
                        self._again.add(event.entry_id)
                    if not again or event.entry_id in self._again:
                        self._waiting.setdefault(BreakerId(event.breaker_id), []).append(event)
        except StoreUnreachable as error:
            self._means.health.changed("events", str(error))

    async def _record(self, connection: Any, increment: Increment, world: World) -> OpenDocument:
        """Record one increment. A signed event that the database cannot hold explains nothing; it must not
        keep this or any other trip out of the log."""
        trip = await self._attribute(connection, increment, world.now)
        try:
            async with connection.transaction():
                return await record_trip(connection, self._means, trip, world)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError) as error:
            if not trip.payload:
                raise
            log.warning("event %s explains no trip: %s", trip.event_id, clean(str(error), 200))
        notes = f"{_UNSIGNED} An event of {trip.login} could not be recorded."
        return await record_trip(connection, self._means, _unattributed(increment, notes), world)

    async def _attribute(self, connection: Any, increment: Increment, now: datetime) -> Trip:
        """The trip behind an increment: the oldest waiting event that proves a person, else nobody."""
        waiting = self._waiting.get(increment.breaker_id, [])
        claims: list[str] = []
        passed: list[StreamEvent] = []
        while waiting:
            event = waiting.pop(0)
            if (trip := await self._proved(connection, increment, event)) is not None:
                waiting[:0] = passed
                return trip
            passed.append(event)
        while passed:  # what is audited already explains an increment only where nothing new does
            event = passed.pop(0)
            if (trip := await self._repeated(connection, increment, event, now)) is not None:
                waiting += passed
                return trip
            claims.append(event.login)
        notes = _UNSIGNED
        if claims:
            notes += f" An event claims to be of {claims[0]}."
        return _unattributed(increment, notes)

    async def _proved(self, connection: Any, increment: Increment, event: StreamEvent) -> Trip | None:
        try:
            command = decode_payload(event.payload)
            if command.kind is not Kind.TRIP or command.breaker_id != increment.breaker_id:
                return None
            if await connection.fetchval(_SEEN, command.request_id):
                return None
            await verify_signer(connection, command, event.payload, event.key_id, event.signature)
        except (Rejected, asyncpg.DataError):
            return None
        role = AUTHORITY
        if command.login != AUTHORITY:
            standing = await read_standing(connection, command.login)
            identity, refusal = authorise(standing, command.login, Kind.TRIP.permission, command.breaker_id)
            if refusal or identity is None:
                return None
            role = identity.role.value
        return Trip(
            increment.breaker_id,
            increment.epoch,
            command.request_id,
            command.login,
            role,
            command.notes,
            command.reason,
            event.payload.decode(),
            event.key_id,
            event.signature,
            command.requested_at,
            command.ttl_s,
        )

    async def _repeated(
        self, connection: Any, increment: Increment, event: StreamEvent, now: datetime
    ) -> Trip | None:
        """A signed trip that is audited and came once more, its sender having had no reply: its own epoch,
        and no alarm about a stranger."""
        if event.entry_id in self._again and _age_ms(event) <= now.timestamp() * 1_000 - FRESH_MS:
            return None
        try:
            command = decode_payload(event.payload)
            if command.kind is not Kind.TRIP or command.breaker_id != increment.breaker_id:
                return None
            if command.login == AUTHORITY:
                return None
            if not await connection.fetchval(_SEEN, command.request_id):
                return None
            await verify_signer(connection, command, event.payload, event.key_id, event.signature)
        except (Rejected, asyncpg.DataError):
            return None
        notes = f"Delivered once more: the trip {command.request_id} of {command.login}."
        return Trip(
            increment.breaker_id,
            increment.epoch,
            str(uuid4()),
            "unattributed",
            "unattributed",
            notes,
            command.reason,
            repeats=command.request_id,
        )

    async def _history(self, opened: Sequence[OpenDocument]) -> None:
        for item in opened:
            member = history_member(
                item.document, item.document.event_id, item.audit_seq, item.proof, late=item.late
            )
            try:
                await self._means.redis.add_history(HistoryEntry(item.document.issued_at, member))
            except StoreUnreachable as error:
                self._means.health.changed("history", str(error))

    def _forget_forgeries(self, world: World) -> None:
        """Events beyond what the counters counted belong to no trip: INCR and event are one transaction."""
        horizon = world.now.timestamp() * 1_000 - 1_000
        for name, events in list(self._waiting.items()):
            self._waiting[name] = [event for event in events if _age_ms(event) > horizon]
            self._again &= {event.entry_id for kept in self._waiting.values() for event in kept}
            if not self._waiting[name]:
                del self._waiting[name]


def _unattributed(increment: Increment, notes: str) -> Trip:
    return Trip(increment.breaker_id, increment.epoch, str(uuid4()), "unattributed", "unattributed", notes)


def _age_ms(event: StreamEvent) -> float:
    first = event.entry_id.partition("-")[0]
    return float(first) if first.isdigit() else 0.0
