"""The genesis grant: given once by the owner at `init`, used once, for breakers not tripped since.

A large catalogue is opened in parts, `global` with the last, so that nothing trades before all is done. Each
breaker has one intent by the grant, ever; the last part uses the grant up. What a crash leaves of a part is
finished or voided like everything else, and the successor goes on with the part after it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

from backends.evidence import EvidenceUnavailable
from backends.signing import canonical, verify
from cockpit.authority.batches import BATCH, apart
from cockpit.authority.commit import commit_all
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import Loosening, draft
from cockpit.authority.means import Means
from cockpit.authority.size_share import Size, limits_in_force
from cockpit.authority.waiting_trips import concerned, unopposed
from cockpit.authority.world import World
from cockpit.domain.audit import sha256_hex
from cockpit.domain.breakers import GLOBAL, WITHDRAWALS, BreakerId
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import State, Transition

_UNUSED: Final = "SELECT run_id, payload FROM genesis WHERE used_at IS NULL"
_USE: Final = "UPDATE genesis SET used_at = clock_timestamp() WHERE used_at IS NULL RETURNING 1"
_OWNER_KEY: Final = """
SELECT public_key FROM signing_keys WHERE key_id = $1 AND login = 'owner' AND revoked_at IS NULL
"""
_UNTRIPPED: Final = """
SELECT breaker_id FROM breakers
 WHERE counter = 1 AND document IS NULL AND redis_run_id = $1
   AND breaker_id NOT IN (SELECT breaker_id FROM commits WHERE transition = $2)
"""
_BEGUN: Final = "SELECT EXISTS (SELECT FROM commits WHERE transition = $1)"
FIRST: Final = 1
UNFIT: Final = "an unused grant does not fit this server or its breakers"
NOTES: Final = "Genesis grant of the owner."
_LAST: Final = (WITHDRAWALS, GLOBAL)  # what holds the whole platform


@dataclass(frozen=True, slots=True)
class Part:
    """What is closed next by the grant. `begun`: a part came before; `ends`: none comes after."""

    payload: str
    names: Sequence[BreakerId]
    sizes: Sequence[Size]
    postgres_now: datetime
    begun: bool
    ends: bool


async def use_genesis(means: Means, world: World) -> int:
    """Use the grant, if there is an unused one for this server, for as many breakers as are closed at a time;
    how many it was used for. To be called again, with a new reading, until that is 0."""
    part = await _next_part(means, world)
    if part is None:
        return 0
    items = await apart(len(part.names), lambda: _drafts(means, world, part))
    try:  # a grant that could not be proved would be void, and is given only once
        await means.evidence.put_new(items[0].proof.key, items[0].evidence)
    except EvidenceUnavailable as error:
        means.health.changed("genesis", f"held: {error}")
        return 0
    items = [replace(items[0], guard=_use_up), *items[1:]] if part.ends else items
    results = await commit_all(means, items, unopposed(means.catalogue))
    means.health.changed("genesis", f"used for {sum(result.applied for result in results)} breakers")
    return len(results)


async def _next_part(means: Means, world: World) -> Part | None:
    async with means.pool.acquire() as connection:
        row = await connection.fetchrow(_UNUSED)
        if row is None:
            return None
        granted = await _granted(connection, row["payload"], world.run_id)
        if not granted:
            means.health.changed("genesis", UNFIT)
            return None
        word = Transition.GENESIS.value
        untouched = {item["breaker_id"] for item in await connection.fetch(_UNTRIPPED, world.run_id, word)}
        begun: bool = await connection.fetchval(_BEGUN, word)
        now = await connection.fetchval("SELECT clock_timestamp()")
        in_force = await limits_in_force(connection)
    names = [
        name
        for name in means.catalogue.everything
        if name in granted
        and name in untouched
        and world.counter(name) == FIRST
        and world.readings[name].state is State.OPEN
        and (name != GLOBAL or world.view.legacy is None)
    ]
    # Children first: nothing trades before global is written, and the mirror stays as all of them saw it.
    names = [name for name in names if name not in _LAST] + [name for name in _LAST if name in names]
    if not names:
        await _end(means, begun=begun)
        return None
    part = names[:BATCH]
    async with means.pool.acquire() as connection:
        waited = await concerned(connection, part, means.catalogue)
    if waited:  # it is given only once: it waits for them to be applied, and leaves out what they trip
        means.health.changed("genesis", f"held: a trip waits that concerns {len(waited)} breakers")
        return None
    sizes = [means.sizes.size(name, in_force) for name in part]
    return Part(row["payload"], part, sizes, now, begun, len(part) == len(names))


async def _end(means: Means, *, begun: bool) -> None:
    """Nothing is left that the grant fits. If a part was used, it is used up: trips overtook the rest."""
    if not begun:
        means.health.changed("genesis", UNFIT)
        return
    async with means.transaction() as connection:
        await connection.execute(_USE)
    means.health.changed("genesis", "ended: the rest was tripped meanwhile")


async def _use_up(connection: Any) -> None:
    if await connection.fetchval(_USE) is None:
        raise Refused(Code.VOID, "The genesis grant was used already.")


def _drafts(means: Means, world: World, part: Part) -> list[Loosening]:
    """The first of all carries the grant in full, every other one its digest."""
    digest: dict[str, object] = {"genesis_sha256": sha256_hex(part.payload.encode())}
    return [
        draft(
            means,
            world,
            commit_id=str(uuid4()),
            breaker_id=name,
            transition=Transition.GENESIS,
            author=ITSELF,
            notes=NOTES,
            reason="",
            deadline_in=timedelta(seconds=means.limits.commit_deadline_s),
            postgres_now=part.postgres_now,
            details=digest if part.begun or place else {"genesis": part.payload},
            pin_ancestors=False,
            size=size,
        )
        for place, (name, size) in enumerate(zip(part.names, part.sizes, strict=True))
    ]


async def _granted(connection: Any, payload: str, run_id: str) -> frozenset[BreakerId]:
    """The breakers in the owner's signed list; none where it is not the owner's or is for another server."""
    try:
        key_id = str(json.loads(payload)["key_id"])
    except (ValueError, KeyError, TypeError):
        return frozenset()
    key = await connection.fetchval(_OWNER_KEY, key_id)  # each time: it may have been revoked
    return await asyncio.to_thread(_signed_names, payload, key or "", run_id)


@lru_cache(maxsize=1)
def _signed_names(payload: str, key: str, run_id: str) -> frozenset[BreakerId]:
    try:
        fields = json.loads(payload)
        signature = str(fields.pop("signature"))
        names = frozenset(BreakerId(str(name)) for name in fields["breakers"])
        signed = verify(base64.b64decode(key, validate=True), canonical(fields), signature)
        return names if signed and fields["run_id"] == run_id else frozenset()
    except (ValueError, KeyError, TypeError, AttributeError):
        return frozenset()
