"""Reading the scene of a decision: both stores, the clocks, the chain, what is pending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from backends.signing import canonical
from cockpit.authority.identity import Rejected, authorise, decode_payload, read_standing, verify_signer
from cockpit.authority.means import Means
from cockpit.authority.rules import RunFacts, Scene
from cockpit.authority.world import World
from cockpit.domain.audit import ChainBroken
from cockpit.domain.breakers import BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Epoch

_SCENE: Final = """
SELECT clock_timestamp() AS now, b.redis_run_id, b.counter, b.reason, b.since, b.notes,
       r.run_id::text AS run, r.request_id::text AS run_request, r.login AS run_login, r.status, r.passed,
       r.close_until, r.used_by
  FROM breakers b
  LEFT JOIN probe_runs r ON r.breaker_id = b.breaker_id AND r.redis_run_id = $2 AND r.counter = $3
 WHERE b.breaker_id = $1
"""
PENDING_LIMIT: Final = 50
_PENDING: Final = """
SELECT login, payload, key_id, signature FROM requests
 WHERE status IN ('new', 'committing') AND position('"kind":"trip"' in payload) > 0
   AND EXISTS (SELECT 1 FROM unnest($1::text[]) AS part WHERE position(part in payload) > 0)
 ORDER BY arrival LIMIT $2
"""


async def read_scene(
    means: Means, connection: Any, world: World, breaker_id: BreakerId, *, check_chain: bool = True
) -> tuple[Scene, str]:
    """The scene and the reason of the breaker's last trip."""
    reading = world.readings[breaker_id]
    epoch = reading.epoch
    row = await connection.fetchrow(_SCENE, breaker_id, world.run_id, epoch.counter if epoch else None)
    names = (breaker_id, *means.catalogue.ancestors(breaker_id))
    pending = await pending_trip(connection, names)
    run = None
    if row is not None and row["run"] is not None:
        run = RunFacts(
            row["run"],
            row["run_request"],
            row["run_login"],
            row["status"],
            row["passed"],
            row["close_until"],
            row["used_by"] is not None,
        )
    audited = Epoch(row["redis_run_id"], row["counter"]) if row and row["redis_run_id"] else None
    postgres_now = row["now"] if row else await connection.fetchval("SELECT clock_timestamp()")
    means.health.clock_skew_s = (world.now - postgres_now).total_seconds()
    scene = Scene(
        breaker_id=breaker_id,
        reading=reading,
        ancestors=tuple(world.readings[name] for name in reversed(means.catalogue.ancestors(breaker_id))),
        legacy_ok=world.legacy_ok,
        redis_now=world.now,
        postgres_now=postgres_now,
        audited=audited,
        pending_trip=pending,
        run=run,
        chain_fault=await _chain_fault(means, connection, postgres_now) if check_chain else None,
        store_fault=None if means.health.evidence_ok else "The evidence store does not take objects",
    )
    return scene, row["reason"] if row else ""


async def pending_trip(connection: Any, names: Sequence[BreakerId]) -> BreakerId | None:
    """The first of `names` that a valid trip in the inbox waits for. More candidates than can be looked at
    count as one: doubt refuses."""
    parts = [canonical({"breaker_id": name}).decode()[1:-1] for name in names]
    rows = await connection.fetch(_PENDING, parts, PENDING_LIMIT + 1)
    if len(rows) > PENDING_LIMIT:
        return names[0]
    for row in rows:
        payload = row["payload"].encode()
        try:
            command = decode_payload(payload)
            if command.login != row["login"] or command.kind is not Kind.TRIP:
                continue
            await verify_signer(connection, command, payload, row["key_id"], row["signature"])
        except Rejected:
            continue  # the inbox rejects and records it; it halts nothing
        standing = await read_standing(connection, command.login)
        _, refusal = authorise(standing, command.login, Kind.TRIP.permission, command.breaker_id)
        if refusal is None and command.breaker_id in names:
            return command.breaker_id
    return None


async def _chain_fault(means: Means, connection: Any, now: Any) -> str | None:
    fault = means.chain.fault(now, means.limits)
    if fault:
        return fault
    try:
        await means.chain.verify_increment(connection)
    except ChainBroken as broken:
        return str(broken)
    return None
