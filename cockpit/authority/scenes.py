"""Reading the scene of a decision: both stores, the clocks, the chain, what is pending."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from backends.signing import canonical
from cockpit.authority.identity import (
    Rejected,
    Standing,
    authorise,
    decode_payload,
    read_standing,
    standing_of,
    verify_signer,
)
from cockpit.authority.means import Means
from cockpit.authority.rules import RunFacts, Scene
from cockpit.authority.world import World
from cockpit.domain.audit import ChainBroken
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Epoch

_SCENE: Final = """
SELECT clock_timestamp() AS now, b.redis_run_id, b.counter, b.reason, b.since, b.notes,
       r.run_id::text AS run, r.request_id::text AS run_request, r.login AS run_login, r.status, r.passed,
       r.close_until, r.used_by,
       array(SELECT row(q.login, q.payload, q.key_id, q.signature) FROM requests q
              WHERE q.status IN ('new', 'committing') AND position('"kind":"trip"' in q.payload) > 0
                AND EXISTS (SELECT FROM unnest($4::text[]) AS part WHERE position(part in q.payload) > 0)
                AND EXISTS (SELECT FROM signing_keys k JOIN role_grants h USING (login)
                             WHERE k.key_id = q.key_id AND k.login = q.login AND h.role <> 'monitoring-read')
              ORDER BY q.arrival LIMIT $5) AS waiting
  FROM (SELECT 1) one
  LEFT JOIN breakers b ON b.breaker_id = $1
  LEFT JOIN probe_runs r ON r.breaker_id = b.breaker_id AND r.redis_run_id = $2 AND r.counter = $3
"""
PENDING_LIMIT: Final = 50
AUDIT_WAIT_S: Final = 1.0
_ALLOWED: Final = """
SELECT o.person_id, g.role, g.granted_at, g.expires_at, g.revoked_at, clock_timestamp() AS now,
       array(SELECT row(q.login, q.payload, q.key_id, q.signature) FROM requests q
              WHERE q.status IN ('new', 'committing') AND position('"kind":"trip"' in q.payload) > 0
                AND EXISTS (SELECT FROM unnest($2::text[]) AS part WHERE position(part in q.payload) > 0)
                AND EXISTS (SELECT FROM signing_keys k JOIN role_grants h USING (login)
                             WHERE k.key_id = q.key_id AND k.login = q.login AND h.role <> 'monitoring-read')
              ORDER BY q.arrival LIMIT $3) AS waiting
  FROM (SELECT 1) one
  LEFT JOIN operators o ON o.login = $1 AND o.revoked_at IS NULL
  LEFT JOIN role_grants g ON g.login = o.login
 ORDER BY g.grant_id
"""


async def read_scene(
    means: Means, world: World, breaker_id: BreakerId, *, check_chain: bool = True
) -> tuple[Scene, str]:
    """The scene and the reason of the breaker's last trip. Its parts are read at the same time."""
    reading = world.readings[breaker_id]
    epoch = reading.epoch
    names = (breaker_id, *means.catalogue.ancestors(breaker_id))
    (row, pending), broken = await asyncio.gather(
        _row(means, names, world.run_id, epoch.counter if epoch else None),
        _chain_broken(means) if check_chain else _nothing(),
    )
    run = None
    if row["run"] is not None:
        run = RunFacts(
            row["run"],
            row["run_request"],
            row["run_login"],
            row["status"],
            row["passed"],
            row["close_until"],
            row["used_by"] is not None,
        )
    audited = Epoch(row["redis_run_id"], row["counter"]) if row["redis_run_id"] else None
    postgres_now = row["now"]
    means.health.clock_skew_s = (world.now - postgres_now).total_seconds()
    scene = Scene(
        breaker_id=breaker_id,
        reading=reading,
        ancestors=tuple(world.readings[name] for name in reversed(means.catalogue.ancestors(breaker_id))),
        switches=tuple(world.readings[name] for name in means.catalogue.switches_of(breaker_id)),
        legacy_ok=world.legacy_ok or (breaker_id == GLOBAL and world.view.legacy in means.legacy_judged),
        redis_now=world.now,
        postgres_now=postgres_now,
        audited=audited,
        pending_trip=pending,
        run=run,
        chain_fault=(means.chain.fault(postgres_now, means.limits) or broken) if check_chain else None,
        store_fault=None if means.health.evidence_ok else "The evidence store does not take objects",
    )
    return scene, row["reason"] or ""


async def audited_scene(means: Means, breaker_id: BreakerId) -> tuple[World, Scene, str]:
    """The world and its scene. A trip of this very moment is given a little time first to be audited and to
    get its document, which would void a commit that was begun before it was written."""
    ends = time.monotonic() + AUDIT_WAIT_S
    while True:
        world = await means.reader.read()
        scene, reason = await read_scene(means, world, breaker_id)
        epoch, document = scene.reading.epoch, scene.reading.document
        written = document is not None and document.epoch == epoch
        if (scene.audited == epoch and written) or time.monotonic() > ends:
            return world, scene, reason
        await asyncio.sleep(0.02)


async def _row(
    means: Means, names: Sequence[BreakerId], run_id: str, counter: int | None
) -> tuple[Any, BreakerId | None]:
    async with means.pool.acquire() as connection:
        row = await connection.fetchrow(_SCENE, names[0], run_id, counter, _parts(names), PENDING_LIMIT + 1)
        return row, await _first_valid(connection, row["waiting"], names)


async def standing_and_pending(
    connection: Any, login: str, names: Sequence[BreakerId]
) -> tuple[Standing | None, BreakerId | None]:
    """What the login may do now, and the first of `names` that a valid trip in the inbox waits for."""
    rows = await connection.fetch(_ALLOWED, login, _parts(names), PENDING_LIMIT + 1)
    return standing_of(login, rows), await _first_valid(connection, rows[0]["waiting"], names)


def _parts(names: Sequence[BreakerId]) -> list[str]:
    """What the canonical payload of a trip of one of `names` contains."""
    return [_part(name) for name in names]


@cache
def _part(name: BreakerId) -> str:
    return canonical({"breaker_id": name}).decode()[1:-1]


async def _first_valid(connection: Any, rows: Sequence[Any], names: Sequence[BreakerId]) -> BreakerId | None:
    """More candidates than can be looked at count as one that is valid: doubt refuses."""
    if len(rows) > PENDING_LIMIT:
        return names[0]
    for login, text, key_id, signature in rows:
        payload = text.encode()
        try:
            command = decode_payload(payload)
            if command.login != login or command.kind is not Kind.TRIP:
                continue
            await verify_signer(connection, command, payload, key_id, signature)
        except Rejected:
            continue  # the inbox rejects and records it; it halts nothing
        standing = await read_standing(connection, command.login)
        _, refusal = authorise(standing, command.login, Kind.TRIP.permission, command.breaker_id)
        if refusal is None and command.breaker_id in names:
            return command.breaker_id
    return None


async def _chain_broken(means: Means) -> str | None:
    async with means.pool.acquire() as connection:
        try:
            await means.chain.verify_increment(connection)
        except ChainBroken as broken:
            return str(broken)
    return None


async def _nothing() -> None:
    return None
