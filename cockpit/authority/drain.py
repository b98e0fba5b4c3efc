"""Every trip into the audit log: matched to the counters, attributed where a signature proves who it was.

The stream is a hint. A counter's increments say how many trips there were; an event says who only where its
payload is signed by a registered key of that login and was not seen before. What no event explains is
recorded as an unattributed trip, once for each increment. Nothing here waits for the evidence store.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import asyncpg

from backends.redis_authority import STREAM_LENGTH, HistoryEntry
from backends.signing import verify
from backends.trip_exchange import event_fields
from cockpit.authority import faults
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.identity import Rejected, authorise, decode_payload, read_standing, verify_signer
from cockpit.authority.loosening import history_member
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.opening import OpenDocument, write_open_documents
from cockpit.authority.status import log
from cockpit.authority.trip_records import Trip, record_trip
from cockpit.authority.waiting_trips import recorded_trips
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Epoch, rfc3339
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean

MOST_AT_ONCE: Final = 200
FLOOD: Final = 2_000  # increments of one breaker that are recorded singly
MOST_BATCHES: Final = 250  # of 100 entries, in one turn
MOST_WAITING: Final = 300  # events of one breaker and login
MOST_CLAIMS: Final = 20
MOST_COPIES: Final = 5
FRESH_MS: Final = 5_000.0  # how long an event that is audited already may explain one more increment
UNDELIVERED: Final = "9999999999999-0"  # in place of an id: an event that waits for its increment
_KEYS: Final = """
SELECT key_id, login, public_key FROM signing_keys WHERE key_id = ANY ($1::text[]) AND revoked_at IS NULL
"""
_UNSIGNED: Final = "Tripped without a signed request that can be verified."
_KNOWN: Final = "SELECT breaker_id, redis_run_id, counter FROM breakers"
_AUDITED: Final = """
SELECT DISTINCT event_id FROM audit_log WHERE event_id = ANY ($1::text[]) AND action = 'CIRCUIT_BREAKER_TRIP'
"""
_SEEN: Final = "SELECT 1 FROM audit_log WHERE event_id = $1 AND action = 'CIRCUIT_BREAKER_TRIP' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Increment:
    """One increment that is not in the audit log yet; in a flood many, of which `epoch` is the last."""

    breaker_id: BreakerId
    epoch: Epoch
    count: int = 1


class Drain:
    """Keeps its place in the stream, and what it has read and not matched yet."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._place = "0-0"
        self._waiting: dict[BreakerId, list[StreamEvent]] = {}
        self._again: set[str] = set()  # entries of it that were audited when they were read
        self._audited: int | None = None  # what was read when every counter in it was audited
        self._signers: dict[str, str] = {}  # whose signature an entry of it bears, empty for nobody's

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
            for increment in increments:
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

    async def _read_events(self, now: datetime) -> None:
        """Take in what the stream has. What is audited already counts once more only while it is fresh: an
        old event read again at a start explains no new increment."""
        fresh = now.timestamp() * 1_000 - FRESH_MS
        means = self._means
        try:
            await self.bound_stream(now)
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

    async def bound_stream(self, now: datetime) -> None:
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
        # Redis took the INCR and not its event: its cockpit then records the trip in the inbox.
        for event in await recorded_trips(connection, increment.breaker_id):
            if (trip := await self._proved(connection, increment, event)) is not None:
                return trip
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
            target=command.target or "",
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
            if not self._waiting[name]:
                del self._waiting[name]
        kept = {event.entry_id for events in self._waiting.values() for event in events}
        self._again &= kept
        self._signers = {entry: login for entry, login in self._signers.items() if entry in kept}


def _is_audited(row: Any, world: World) -> bool:
    counter = world.counter(BreakerId(row["breaker_id"]))
    return row["redis_run_id"] == world.run_id and counter is not None and counter <= row["counter"]


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
    try:
        command = decode_payload(event.payload)
    except Rejected:
        return ""
    fits = command.kind is Kind.TRIP and command.breaker_id == event.breaker_id and command.login == login
    return login if fits else ""


def _unattributed(increment: Increment, notes: str) -> Trip:
    return Trip(increment.breaker_id, increment.epoch, str(uuid4()), "unattributed", "unattributed", notes)


def _age_ms(event: StreamEvent) -> float:
    first = event.entry_id.partition("-")[0]
    return float(first) if first.isdigit() else 0.0
