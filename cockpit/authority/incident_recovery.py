"""Recovery conditions of one incident before it is resolved or classified anew: neither must be a way around
them.

They are read as the checklist's item is, for this incident alone and the instruments that it is linked to. A
person's own trip and an override have none, there as here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from backends.triage_store import recovery_facts
from cockpit.authority.means import Means
from cockpit.domain.desk import NO_OBSTACLE, IncidentRow
from cockpit.domain.incident_story import linked
from cockpit.domain.recovery import (
    BRANCH,
    NEEDS,
    WORDS,
    Broker,
    Condition,
    Linked,
    Need,
    active_symbols,
    conditions,
    moments,
    needs,
)
from cockpit.domain.refusals import Code, Refusal, Refused
from cockpit.operations.checklist import READ_S, broker_health
from cockpit.operations.ports import VenueGateway

UNASKED: Final = Broker(None, "not asked")
_CLASSIFICATION: Final = "SELECT classification FROM incidents WHERE incident_id = $1::uuid"


async def asked_broker(means: Means, gateway: VenueGateway | None, incident_id: str) -> Broker:
    """The gateway's word, where this incident's conditions need it; read before its row is held."""
    async with means.pool.acquire() as connection:
        branch = BRANCH.get(await connection.fetchval(_CLASSIFICATION, incident_id) or "")
    if branch is None or Need.GATEWAY not in NEEDS[branch]:
        return UNASKED
    try:
        async with asyncio.timeout(READ_S):
            return await broker_health(gateway)
    except TimeoutError:
        return Broker(None, f"no answer in {READ_S:g} s")


async def resolve_refusal(connection: Any, means: Means, row: IncidentRow, broker: Broker) -> Refusal | None:
    """Why an incident cannot be resolved yet; None where it has no conditions, or all of them hold."""
    if row.source in NO_OBSTACLE or not needs(_own(row)):
        return None
    found = await _found(connection, means, row, broker)
    missing = [each.line for each in found if each.met is not True]
    if not missing:
        return None
    return Refusal(
        Code.RECOVERY,
        f"{len(missing)} of its {len(found)} recovery conditions do not hold: {'; '.join(missing)}.",
        "Meet them first; until then it can be merged or escalated, but not resolved.",
    )


async def unmet(
    connection: Any, means: Means, row: IncidentRow, wanted: Sequence[Need], broker: Broker
) -> tuple[str, ...]:
    """Which of these conditions of an incident do not hold, a line each. What cannot be read does not."""
    if not wanted:
        return ()
    try:
        found = await _found(connection, means, row, broker)
    except Refused as fault:
        if fault.refusal.code is not Code.RECOVERY:
            raise
        return tuple(f"{WORDS[need]}: could not be read" for need in wanted)
    return tuple(each.line for each in found if each.need in wanted and each.met is not True)


async def _found(connection: Any, means: Means, row: IncidentRow, broker: Broker) -> tuple[Condition, ...]:
    """
    Raises:
        Refused: a part of what they rest on could not be read in a second.
    """
    own = _own(row)
    symbols = active_symbols(linked(row), means.catalogue)
    facts = await recovery_facts(connection, symbols, moments((own,)), means.limits.reconciliation_fresh_s)
    return conditions((own,), facts, symbols, broker)


def _own(row: IncidentRow) -> Linked:
    return Linked(row.incident_id, row.title, row.classification, row.opened_at)
