"""What one reading of a store found, as immutable values that panels diff by key.

An unchanged part is the *same object* in the next snapshot, so a panel may compare with `is`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cockpit.domain.breakers import BreakerId
from cockpit.domain.documents import Effective, Reading
from cockpit.domain.receipts import TripReceipt

__all__ = ["BreakerSnapshot", "StreamEvent", "TripReceipt"]


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One entry of `circuit_breaker:events`: a hint, from which nothing is proved.

    `kind` is TRIP, HALF_OPEN, PROBES_PASSED, CLOSE, QUIET_ENDED, RESTORED, ALARM or foreign text. `login`
    and `at` are claims. `payload` holds the bytes as sent (a trip's signed command), b"" where there are
    none; the other texts have passed the sanitiser.
    """

    entry_id: str
    event_id: str
    breaker_id: str
    kind: str
    login: str
    at: str
    payload: bytes
    key_id: str
    signature: str


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """Every breaker of the catalogue, and every switch, read in one round trip: `readings` holds both,
    `effective` the breakers, instruments with what their switches impose.

    `server_time` is the Redis server's clock (UTC), `observed_at` this machine's, `monotonic` this
    process's (seconds). `legacy_ok` says whether `circuit_breaker:state` mirrors the global document; where
    it does not, `global` reads OPEN with the doubt spelt out and halts everything. `events` are the newest
    first, at most 20; `stream_note` is why they could not be read, None where they could.
    """

    readings: Mapping[BreakerId, Reading]
    effective: Mapping[BreakerId, Effective]
    run_id: str
    server_time: datetime
    legacy_ok: bool
    events: tuple[StreamEvent, ...]
    observed_at: datetime
    monotonic: float
    stream_note: str | None = None
