"""The genesis grant: given once by the owner at `init`, used once, for breakers not tripped since."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from backends.evidence import EvidenceUnavailable
from backends.signing import canonical, verify
from cockpit.authority.commit import commit_all
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import draft
from cockpit.authority.means import Means
from cockpit.authority.size_share import limits_in_force
from cockpit.authority.waiting_trips import concerned, unopposed
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import State, Transition

_UNUSED: Final = "SELECT run_id, payload FROM genesis WHERE used_at IS NULL"
_USE: Final = "UPDATE genesis SET used_at = clock_timestamp() WHERE used_at IS NULL RETURNING 1"
_OWNER_KEY: Final = """
SELECT public_key FROM signing_keys WHERE key_id = $1 AND login = 'owner' AND revoked_at IS NULL
"""
_UNTRIPPED: Final = """
SELECT breaker_id FROM breakers WHERE counter = 1 AND document IS NULL AND redis_run_id = $1
"""
FIRST: Final = 1
NOTES: Final = "Genesis grant of the owner."


async def use_genesis(means: Means, world: World) -> int:
    """Use the grant, if there is an unused one for this server; how many breakers it closed."""
    async with means.pool.acquire() as connection:
        row = await connection.fetchrow(_UNUSED)
        if row is None:
            return 0
        granted = await _granted(connection, row["payload"], world.run_id)
        untouched = {item["breaker_id"] for item in await connection.fetch(_UNTRIPPED, world.run_id)}
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
    if not names:
        means.health.changed("genesis", "an unused grant does not fit this server or its breakers")
        return 0
    async with means.pool.acquire() as connection:
        waited = await concerned(connection, names, means.catalogue)
    if waited:  # it is given only once: it waits for them to be applied, and leaves out what they trip
        means.health.changed("genesis", f"held: a trip waits that concerns {len(waited)} breakers")
        return 0
    items = [
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
            postgres_now=now,
            details={"genesis": row["payload"]},
            pin_ancestors=False,
            size=means.sizes.size(name, in_force),
        )
        for name in names
    ]

    try:  # a grant that could not be proved would be void, and is given only once
        await means.evidence.put_new(items[0].proof.key, items[0].evidence)
    except EvidenceUnavailable as error:
        means.health.changed("genesis", f"held: {error}")
        return 0

    async def guard(connection: Any) -> None:
        if await connection.fetchval(_USE) is None:
            raise Refused(Code.VOID, "The genesis grant was used already.")

    # Children first: nothing trades before global is written, and the mirror stays as all of them saw it.
    items = [replace(item, recheck=unopposed(item.breaker_id, means.catalogue)) for item in items]
    items = [*items[1:], items[0]] if items[0].breaker_id == GLOBAL else items
    results = await commit_all(means, [replace(items[0], guard=guard), *items[1:]])
    means.health.changed("genesis", f"used for {sum(result.applied for result in results)} breakers")
    return len(results)


async def _granted(connection: Any, payload: str, run_id: str) -> frozenset[BreakerId]:
    """The breakers in the owner's signed list; none where it is not the owner's or is for another server."""
    try:
        fields = json.loads(payload)
        signature = str(fields.pop("signature"))
        names = frozenset(BreakerId(str(name)) for name in fields["breakers"])
        key = await connection.fetchval(_OWNER_KEY, str(fields["key_id"]))
        public_key = base64.b64decode(key or "", validate=True)
        signed = verify(public_key, canonical(fields), signature)
        return names if signed and fields["run_id"] == run_id else frozenset()
    except (ValueError, KeyError, TypeError, AttributeError):
        return frozenset()
