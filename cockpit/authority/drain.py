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
from cockpit.authority.identity import Rejected, authorise, read_standing, verify_signer
from cockpit.authority.loosening import history_member
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.opening import OpenDocument, write_open_documents
from cockpit.authority.status import log
from cockpit.authority.trip_events import TripEvents, trip_of
from cockpit.authority.trip_records import Trip, record_trip
from cockpit.authority.waiting_trips import recorded_trips
from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import Epoch
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean

MOST_AT_ONCE: Final = 200
FLOOD: Final = 2_000  # increments of one breaker that are recorded singly
_UNSIGNED: Final = "Tripped without a signed request that can be verified."
_KNOWN: Final = "SELECT breaker_id, redis_run_id, counter FROM breakers"
_SEEN: Final = "SELECT 1 FROM audit_log WHERE event_id = $1 AND action = 'CIRCUIT_BREAKER_TRIP' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Increment:
    """One increment that is not in the audit log yet; in a flood many, of which `epoch` is the last."""

    breaker_id: BreakerId
    epoch: Epoch
    count: int = 1


class Drain:
    """Matches what Redis counted with the `events` that have been read."""

    def __init__(self, means: Means, events: TripEvents) -> None:
        self._means = means
        self._events = events
        self._audited: int | None = None  # what was read when every counter in it was audited

    async def step(self, world: World) -> int:
        """Audit every increment in `world` that the log lacks; how many there were."""
        increments = await self._increments(world)
        if not increments:
            return 0
        # The counters were read before the events: each counted trip's event is among these by now.
        await self._events.read(world.now)
        opened: list[OpenDocument] = []
        means = self._means
        async with means.transaction() as connection:
            for increment in increments:
                opened.append(await self._record(connection, increment, world))
            await tell(connection, CHANGE)
        await means.fault(faults.AFTER_TRIP_AUDIT)
        for item in opened:
            means.backlog[item.proof.key] = item.evidence
        await write_open_documents(means, await means.reader.read(), opened)
        await self._history(opened)
        self._events.forget_forgeries(world.now)
        return len(increments)

    async def _increments(self, world: World) -> list[Increment]:
        """What Redis has counted past the audit log, on this server, oldest first; each breaker in its turn,
        so that a flood of one keeps no other's trip out of the log. The rest comes in the next turns."""
        if world.stamp == self._audited:
            return []
        async with self._means.pool.acquire() as connection:
            rows = await connection.fetch(_KNOWN)
        if all(_is_audited(row, world) for row in rows if row["breaker_id"] in self._means.catalogue):
            self._audited = world.stamp
        out: list[tuple[int, Increment]] = []
        for row in rows:
            name = BreakerId(row["breaker_id"])
            counter = world.counter(name) if name in self._means.catalogue else None
            if counter is None or row["redis_run_id"] != world.run_id:
                continue
            first = row["counter"] + 1
            if counter - first >= FLOOD:  # a second of INCR by a script would else take hours to record
                behind, first = counter - MOST_AT_ONCE - row["counter"], counter - MOST_AT_ONCE + 1
                out.append((-1, Increment(name, Epoch(world.run_id, first - 1), behind)))
            last = min(counter, first + MOST_AT_ONCE - 1)
            out += [(n - first, Increment(name, Epoch(world.run_id, n))) for n in range(first, last + 1)]
        out.sort(key=lambda each: each[0])
        return [increment for _, increment in out[:MOST_AT_ONCE]]

    async def _record(self, connection: Any, increment: Increment, world: World) -> OpenDocument:
        """Record one increment. A signed event that the database cannot hold explains nothing; it must not
        keep this or any other trip out of the log."""
        if increment.count > 1:
            notes = f"{increment.count} increments of the counter came too fast to be recorded singly."
            return await record_trip(connection, self._means, _unattributed(increment, notes), world)
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
        waiting = self._events.waiting(increment.breaker_id)
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
        # Redis took the INCR and not its event: its cockpit then records the trip in the inbox.
        for event in await recorded_trips(connection, increment.breaker_id):
            if (trip := await self._proved(connection, increment, event)) is not None:
                return trip
        notes = _UNSIGNED
        if claims:
            notes += f" An event claims to be of {claims[0]}."
        return _unattributed(increment, notes)

    async def _proved(self, connection: Any, increment: Increment, event: StreamEvent) -> Trip | None:
        command = trip_of(event)
        if command is None or not await _is_signed(connection, command, event, audited=False):
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
            target=command.target or "",
        )

    async def _repeated(
        self, connection: Any, increment: Increment, event: StreamEvent, now: datetime
    ) -> Trip | None:
        """A signed trip that is audited and came once more, its sender having had no reply: its own epoch,
        and no alarm about a stranger."""
        command = trip_of(event)
        if command is None or command.login == AUTHORITY or self._events.outdated(event, now):
            return None
        if not await _is_signed(connection, command, event, audited=True):
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


def _is_audited(row: Any, world: World) -> bool:
    counter = world.counter(BreakerId(row["breaker_id"]))
    return row["redis_run_id"] == world.run_id and counter is not None and counter <= row["counter"]


async def _is_signed(connection: Any, command: Command, event: StreamEvent, *, audited: bool) -> bool:
    """Whether a valid key of its login signed the trip, and it is in the log already, or not, as `audited`
    says."""
    try:
        if bool(await connection.fetchval(_SEEN, command.request_id)) is not audited:
            return False
        await verify_signer(connection, command, event.payload, event.key_id, event.signature)
    except (Rejected, asyncpg.DataError):
        return False
    return True


def _unattributed(increment: Increment, notes: str) -> Trip:
    return Trip(increment.breaker_id, increment.epoch, str(uuid4()), "unattributed", "unattributed", notes)
