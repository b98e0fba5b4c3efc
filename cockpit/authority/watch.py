"""Changes made around the authority: a hand-written legacy key, a state document that it did not commit.

Each is answered with a trip, audited once, alarmed and made an incident.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from backends.audit_log import append, storable
from backends.signing import canonical
from backends.trip_exchange import event_fields
from cockpit.authority.entries import ITSELF, new_entry
from cockpit.authority.incident_book import NewIncident, record_incident
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.trip_events import TripEvents
from cockpit.authority.tripping import trip_itself
from cockpit.authority.world import World
from cockpit.domain.audit import Action, sha256_hex
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import rfc3339
from cockpit.domain.incidents import Severity
from cockpit.domain.legacy import legacy_agrees
from cockpit.domain.reasons import Reason
from cockpit.domain.refusals import StoreUnreachable
from cockpit.domain.states import State
from cockpit.domain.text import clean

STREAM_S: Final = 1.0
_DOCUMENTS: Final = "SELECT breaker_id, document FROM breakers"


class Watch:
    """Remembers what it has answered, so that one foreign value is one trip."""

    def __init__(self, means: Means, events: TripEvents) -> None:
        self._means = means
        self._events = events
        self._answered: dict[str, bytes | None] = {}
        self._stream_due: datetime | None = None
        self._committed: int | None = None  # what was read when every document in it was one of ours

    async def step(self, world: World) -> bool:
        """Answer what is foreign in `world`; whether anything was.

        Raises:
            StoreUnreachable: Redis did not take a trip; the next step tries again.
        """
        self._gateways(world)
        await self._stream(world)
        found = await self._legacy(world)
        return await self._documents(world) or found

    async def _stream(self, world: World) -> None:
        """A stream that takes no entry is rebuilt: somebody gave it an id ahead of the clock, or another
        type. Trips work meanwhile, without their events."""
        if self._stream_due is not None and world.now < self._stream_due:
            return
        self._stream_due = world.now + timedelta(seconds=STREAM_S)
        await self._events.bound(world.now)
        try:
            stuck = await self._means.redis.stream_stuck()
        except StoreUnreachable as error:
            if "WRONGTYPE" not in str(error):
                raise
            stuck = True
        if not stuck:
            return
        await self._events.read(world.now)
        event_id = str(uuid4())
        says = event_fields(event_id, GLOBAL, "ALARM", ITSELF.user_id, rfc3339(world.now))
        await self._means.redis.rebuild_stream([says])
        message = "circuit_breaker:events took no entry: it was written by hand; it was rebuilt"
        async with self._means.transaction() as connection:
            await append(
                connection,
                new_entry(
                    self._means.key, ITSELF, Action.UNAUDITED_CHANGE, event_id, "events", {"message": message}
                ),
            )
            await tell(connection, CHANGE)
        self._means.health.alarm(world.now, "unaudited change", GLOBAL, message)

    async def _legacy(self, world: World) -> bool:
        """The key must mirror the global document that Redis holds, whatever its epoch."""
        raw, document = world.view.legacy, world.document(GLOBAL)
        absent = (
            world.view.documents[GLOBAL] is None and raw is None
        )  # nothing was ever granted, or all is lost
        if GLOBAL in self._means.in_flight:
            return False
        if absent or legacy_agrees(raw, document):
            self._answered.pop("legacy", None)
            self._means.legacy_judged = frozenset({raw})
            return False
        if self._answered.get("legacy", b"") == raw and "legacy" in self._answered:
            return False
        shown = clean((raw or b"").decode("utf-8", "replace"), 200) if raw is not None else "nothing"
        message = f"circuit_breaker:state was changed by hand; it holds {shown}"
        await self._answer(world, GLOBAL, raw, message)
        self._answered["legacy"] = raw
        self._means.legacy_judged = frozenset({raw})
        return True

    async def _documents(self, world: World) -> bool:
        """A document that permits anything must be the one that was committed last; one that nobody signed,
        or that cannot be read, halts anyway, and somebody wrote it by hand."""
        if world.stamp == self._committed:
            return False
        busy = bool(self._means.in_flight)
        granted = [
            name
            for name, reading in world.readings.items()
            if (reading.state is not State.OPEN or _unreadable(world, name))
            and name not in self._means.in_flight
        ]
        if not granted:
            return False
        async with self._means.pool.acquire() as connection:
            known = {row["breaker_id"]: row["document"] for row in await connection.fetch(_DOCUMENTS)}
        foreign = [name for name in granted if world.view.documents[name] != _bytes(known.get(name))]
        if not foreign:
            self._committed = None if busy else world.stamp
            return False
        again = await self._means.reader.read()  # a commit may have been recorded between the two readings
        found = False
        for name in foreign:
            raw = again.view.documents[name]
            settled = raw == world.view.documents[name] and name not in self._means.in_flight
            if settled and self._answered.get(name) != raw:
                await self._answer(
                    world, name, raw, f"breaker:{name} holds a document that was not committed"
                )
                self._answered[name] = raw
                found = True
        return found

    async def _answer(self, world: World, name: BreakerId, raw: bytes | None, message: str) -> None:
        """Halt first, then record."""
        event_id = await trip_itself(
            self._means, self._events, world, name, f"Unaudited change: {message}.", Reason.GOVERNANCE
        )
        async with self._means.transaction() as connection:
            entry = await append(
                connection,
                new_entry(
                    self._means.key,
                    ITSELF,
                    Action.UNAUDITED_CHANGE,
                    event_id,
                    name,
                    {"message": message, "sha256": sha256_hex(raw or b""), "missing": raw is None},
                ),
            )
            title, key = f"Unaudited change: {message}", f"change:{event_id}"
            kind = Reason.GOVERNANCE.classification.value
            new = NewIncident(Severity.P1, kind, title, "authority", key, breaker_id=name)
            await record_incident(connection, new, entry.seq)
            await tell(connection, CHANGE)
        self._means.health.alarm(world.now, "unaudited change", name, message)

    def _gateways(self, world: World) -> None:
        """Mirror the gateways' acknowledgements: people's logins may not read those keys."""
        self._means.health.gateways = {name: _json(raw) for name, raw in world.view.acks.items()}


def _unreadable(world: World, name: BreakerId) -> bool:
    return world.view.documents[name] is not None and world.document(name) is None


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _json(raw: bytes | None) -> Any:
    """What a gateway wrote, as the lease's row can hold it; None for anything else (a NaN, for one)."""
    if raw is None or len(raw) > 65_536:
        return None
    try:
        return json.loads(canonical([storable(json.loads(raw))]))[0]
    except (ValueError, RecursionError):
        return None
