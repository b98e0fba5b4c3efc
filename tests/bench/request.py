"""A loosening from its row in the inbox to its effect in Redis: half-open requests, one after the other.

Each is a whole decision of the authority: signature, role, epoch, checklist, intent row, evidence,
compare-and-set. (Closes are limited to one a minute, so they cannot be sampled.) Before each, the breaker is
tripped anew and the trip's audit awaited, untimed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter_ns
from uuid import uuid4

from backends.fast_trip import FastTrip
from backends.postgres_store import PostgresStore
from backends.redis_store import RedisStore
from backends.signing import KeyRing, SigningKey, sign_command
from cockpit.config import Credentials, Settings, load_settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.checklist import missing_vouchers
from cockpit.domain.commands import Command, Kind
from cockpit.domain.documents import rfc3339
from cockpit.domain.reasons import Reason
from cockpit.operations.trip import command
from tests.bench.figures import Figure, Samples, since_ms
from tests.bench.key_watch import KeyWatch
from tests.bench.stand import Stand
from tests.bench.whole_demo import demo

BREAKER = BreakerId("instrument:SOL-USD")
NOTES = "measuring how long the authority takes to decide"
_AUDIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds since the INSERT was sent until it was durable, applied in Redis, known to the asker."""

    inserted: float
    applied: float
    known: float


def measure(stand: Stand) -> list[Figure]:
    platform = demo(stand)
    settings = load_settings(platform.config)
    with KeyWatch(platform.redis_url, f"breaker:{BREAKER}") as watch:
        taken = asyncio.run(_measure(settings, watch, stand.times(60)))
    applied = Samples.of([took.applied for took in taken])
    raw = {
        "inserted_ms": Samples.of([took.inserted for took in taken]),
        "applied_ms": applied,
        "known_ms": Samples.of([took.known for took in taken]),
    }
    note = (
        f"half-open, from sending the INSERT to the state in Redis, p50 (p99 {applied.p99:.1f}; "
        f"durable in the inbox {raw['inserted_ms'].p50:.1f}, known to the asker {raw['known_ms'].p50:.1f} ms)"
    )
    return [Figure("request to applied", applied.p50, "ms", 10, note=note, raw=raw)]


async def _measure(settings: Settings, watch: KeyWatch, times: int) -> list[Took]:
    login = settings.credentials("operator1")
    if login.signing_key is None:
        raise RuntimeError("operator1 has no signing key")
    key = SigningKey.load(login.signing_key)
    postgres = PostgresStore(login.postgres_dsn)
    redis = RedisStore(login.redis_url, settings.catalogue, KeyRing(settings.authority_keys))
    try:
        await postgres.connect()
        await redis.connect()
        rounds = [await _round(login, key, postgres, redis, watch) for _ in range(times + 3)]
    finally:
        await redis.close()
        await postgres.close()
    return rounds[3:]


async def _round(
    login: Credentials, key: SigningKey, postgres: PostgresStore, redis: RedisStore, watch: KeyWatch
) -> Took:
    await asyncio.to_thread(_trip, login, key)
    epoch = (await redis.snapshot()).readings[BREAKER].epoch
    vouched = tuple(item.item_id for item in missing_vouchers(()))
    now = datetime.now(UTC)
    asked = Command(Kind.HALF_OPEN, str(uuid4()), BREAKER, login.name, now, epoch, "", NOTES, vouched)
    signed = sign_command(asked, key)
    begin = perf_counter_ns()
    await postgres.submit(signed, asked.request_id)
    inserted = since_ms(begin)
    row = await postgres.await_outcome(asked.request_id, 20.0)
    known = since_ms(begin)
    if row.status != "done":
        raise RuntimeError(f"the half-open is {row.status}: {row.message}")
    applied = await asyncio.to_thread(watch.after, begin, f"breaker:{BREAKER}")
    return Took(inserted, (applied - begin) / 1e6, known)


def _trip(login: Credentials, key: SigningKey) -> None:
    """Trip and wait until the authority has audited it, for an unaudited trip forbids a loosening."""
    event_id, now = str(uuid4()), datetime.now(UTC)
    signed = sign_command(command(BREAKER, login.name, event_id, Reason.DRILL, NOTES, None, now), key)
    with FastTrip(login.redis_url) as connection:
        connection.trip(BREAKER, signed, event_id, login.name, rfc3339(now))
        if connection.audited(event_id, _AUDIT_S) is None:
            raise RuntimeError(f"the trip was not audited in {_AUDIT_S:g} s")
