"""Trips that reached Postgres and not Redis: applied as soon as Redis takes them, however late (F9)."""

from __future__ import annotations

import time
from typing import Final

from backends.trip_exchange import event_fields
from cockpit.authority.decisions import Asked, record_outcome
from cockpit.authority.means import Means
from cockpit.authority.trip_events import UNDELIVERED, TripEvents
from cockpit.domain.commands import Command, SignedCommand
from cockpit.domain.documents import rfc3339
from cockpit.domain.refusals import Refused, StoreUnreachable
from cockpit.domain.snapshots import StreamEvent
from cockpit.operations.outcomes import Outcome

ATTRIBUTED_IN_S: Final = 3.0
_AUDITED: Final = """
SELECT seq, evidence_link, target FROM audit_log
 WHERE event_id = $1 AND action = 'CIRCUIT_BREAKER_TRIP' LIMIT 1
"""


class PendingTrips:
    """Valid trip requests of the inbox on their way into Redis."""

    def __init__(self, means: Means, events: TripEvents) -> None:
        self._means = means
        self._events = events
        self._waiting: dict[str, tuple[Asked, Command]] = {}
        self._sent: dict[str, tuple[Command, float]] = {}
        self._settled: set[str] = set()

    def add(self, asked: Asked, command: Command) -> None:
        self._waiting[asked.request_id] = (asked, command)

    def settled(self) -> set[str]:
        """Requests that need no more from here; each is named once."""
        done, self._settled = self._settled, set()
        return done

    async def step(self) -> None:
        """Apply what waits. An INCR whose reply is lost is sent again: a trip takes effect at least once."""
        for request_id, (command, sent_at) in list(self._sent.items()):
            if await self._decided(request_id, command, time.monotonic() - sent_at):
                del self._sent[request_id]
                self._settled.add(request_id)
        for request_id, (asked, command) in list(self._waiting.items()):
            if await self._known(request_id, command):
                del self._waiting[request_id]
                self._settled.add(request_id)
                continue
            signed = SignedCommand(asked.payload, asked.key_id, asked.signature)
            fields = event_fields(
                request_id, command.breaker_id, "TRIP", command.login, rfc3339(command.requested_at), signed
            )
            try:
                receipt = await self._means.redis.trip(command.breaker_id, fields)
            except (StoreUnreachable, Refused) as error:
                self._means.health.changed("pending trips", f"waiting: {error}")
                break
            self._means.health.changed("pending trips", "applied")
            if not receipt.event_delivered:
                self._events.expect(_event(asked, command))
            del self._waiting[request_id]
            self._sent[request_id] = (command, time.monotonic())
        self._means.health.pending_trips = [command.breaker_id for _, command in self._waiting.values()]

    async def _known(self, request_id: str, command: Command) -> bool:
        """Whether its cockpit has applied it by itself meanwhile; then only the request's outcome is due."""
        async with self._means.transaction() as connection:
            row = await connection.fetchrow(_AUDITED, request_id)
            if row is None:
                return False
            outcome = Outcome(
                command.breaker_id,
                "done",
                f"{command.breaker_id} was tripped by this request.",
                state="OPEN",
                event_id=request_id,
                evidence_link=row["evidence_link"],
                audit_seq=row["seq"],
                redis=True,
                postgres=True,
            )
            await record_outcome(connection, request_id, "done", outcome, row["seq"], kind="trip")
        return True

    async def _decided(self, request_id: str, command: Command, waited_s: float) -> bool:
        """Whether the drain has decided it. One that it could not attribute (its grant ended meanwhile, for
        one) is in Redis all the same, and is decided here so that it holds nothing up."""
        async with self._means.pool.acquire() as connection:
            status = await connection.fetchval(
                "SELECT status FROM requests WHERE request_id = $1", request_id
            )
        if status not in ("new", "committing"):
            return True
        if await self._known(request_id, command):
            return True
        if waited_s < ATTRIBUTED_IN_S:
            return False
        outcome = Outcome(
            command.breaker_id,
            "done",
            f"{command.breaker_id} is OPEN; the trip is recorded as unattributed.",
            state="OPEN",
            event_id=request_id,
            redis=True,
            postgres=True,
        )
        async with self._means.transaction() as connection:
            await record_outcome(connection, request_id, "done", outcome, None, kind="trip")
        return True


def _event(asked: Asked, command: Command) -> StreamEvent:
    return StreamEvent(
        entry_id=UNDELIVERED,
        event_id=asked.request_id,
        breaker_id=command.breaker_id,
        kind="TRIP",
        login=command.login,
        at=rfc3339(command.requested_at),
        payload=asked.payload,
        key_id=asked.key_id,
        signature=asked.signature,
    )
