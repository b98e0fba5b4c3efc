"""Trips by the authority itself: signed by its key, applied like anybody's, audited by the drain."""

from __future__ import annotations

from uuid import uuid4

from backends.signing import sign_command
from backends.trip_exchange import event_fields
from cockpit.authority.entries import AUTHORITY
from cockpit.authority.means import Means
from cockpit.authority.trip_events import UNDELIVERED, TripEvents
from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.reasons import Reason
from cockpit.domain.snapshots import StreamEvent
from cockpit.domain.text import clean


async def trip_itself(
    means: Means,
    events: TripEvents,
    world: World,
    breaker_id: BreakerId,
    notes: str,
    reason: Reason = Reason.OPERATIONAL,
) -> str:
    """INCR `breaker_id` and announce why; the event's id.

    Raises:
        StoreUnreachable: Redis did not take it; the caller tries again.
    """
    command = Command(
        Kind.TRIP,
        str(uuid4()),
        breaker_id,
        AUTHORITY,
        world.now,
        epoch=world.readings[breaker_id].epoch,
        reason=reason.value,
        notes=clean(notes, 400),
    )
    signed = sign_command(command, means.key)
    at = rfc3339(world.now)
    receipt = await means.redis.trip(
        breaker_id, event_fields(command.request_id, breaker_id, "TRIP", AUTHORITY, at, signed)
    )
    if not receipt.event_delivered:
        events.expect(
            StreamEvent(
                UNDELIVERED, command.request_id, breaker_id, "TRIP", AUTHORITY, at, signed.payload,
                signed.key_id, signed.signature,
            )
        )  # fmt: skip
    return command.request_id
