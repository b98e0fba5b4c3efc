"""What the replies to a trip's commands mean; no I/O, so that both clients share it."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisError, ResponseError

from backends.redis_replies import REDIS, Reply, explained, info_fields
from backends.trip_commands import Command, event_fields, trip_commands
from cockpit.domain.documents import MAX_COUNTER, Epoch
from cockpit.domain.receipts import TripReceipt
from cockpit.domain.refusals import StoreCannotWrite
from cockpit.domain.text import clean


def read_trip(replies: Sequence[Reply]) -> TripReceipt:
    """The receipt for the replies to `trip_commands`.

    Raises:
        Refused: this login may not trip this breaker.
        StoreUnreachable, StoreCannotWrite: the INCR was not applied.
    """
    event, count, info = replies
    if isinstance(count, ResponseError) and ("not an integer" in str(count) or "overflow" in str(count)):
        raise StoreCannotWrite(
            REDIS,
            f"the trip counter takes no INCR ({clean(str(count), 200)})",
            remedy="It reads OPEN as it is; the owner must mend the counter.",
        )
    if isinstance(count, RedisError):
        raise explained(count)
    if not isinstance(count, int) or count < 1:
        raise StoreCannotWrite(REDIS, f"INCR answered {clean(str(count), 40)!r}, which is no trip counter")
    notes = []
    if count > MAX_COUNTER:
        notes.append("the counter is past 2^53: the breaker reads OPEN until the owner mends it")
    delivered = not isinstance(event, RedisError)
    if not delivered:
        notes.append(f"event not delivered ({clean(str(event), 160)})")
    run_id = info_fields(info).get("run_id", "")
    if not run_id:
        notes.append("the server's run_id could not be read")
    return TripReceipt(Epoch(run_id, count), delivered, "; ".join(notes) or None)


__all__ = ["Command", "event_fields", "read_trip", "trip_commands"]
