"""Grants of a lost server signed anew for this one, and what has no grant carried over to it, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import uuid4

from backends.signing import read_document, sign_document
from cockpit.authority.batches import BATCH, apart
from cockpit.authority.commit import commit_all
from cockpit.authority.compare_and_set import BatchCheck
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import Loosening, Step, draft
from cockpit.authority.losses import Known
from cockpit.authority.means import Means
from cockpit.authority.size_share import Size, limits_in_force
from cockpit.authority.trip_events import TripEvents
from cockpit.authority.tripping import trip_itself
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Document, Epoch
from cockpit.domain.states import State, Transition

MOVES: Final = {
    State.CLOSED: Transition.RESTORE_CLOSED,
    State.QUIET_PERIOD: Transition.RESTORE_QUIET_PERIOD,
}
_ADOPT: Final = """
UPDATE breakers b
   SET redis_run_id = $1, counter = a.counter, document = coalesce(a.document, b.document), state = 'OPEN',
       updated_at = clock_timestamp()
  FROM unnest($2::text[], $3::bigint[], $4::text[]) AS a (breaker_id, counter, document)
 WHERE b.breaker_id = a.breaker_id
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What grants are re-issued for. `until` are the deadlines by Redis's and by Postgres's clock; None where
    nobody asked: then each batch has its own. `guard` makes the check inside a batch's transaction."""

    details: Mapping[str, object]
    recheck: BatchCheck
    until: tuple[datetime, datetime] | None = None
    guard: Callable[[Sequence[BreakerId]], Step] | None = None


async def reissue(means: Means, world: World, grants: Sequence[Known], wish: Wish) -> dict[BreakerId, bool]:
    """Re-issue `grants`, which stand in the order of the hierarchy; whether each was applied.

    Raises:
        Refused: a batch's guard refused it; those before it are applied.
    """
    applied: dict[BreakerId, bool] = {}
    for part in _parts(grants):
        items = await _drafts(means, world, part, wish)
        if not items:
            continue
        if items[0].breaker_id != GLOBAL:  # once that is written, its new mirror is what the others must see
            legacy = await means.redis.legacy()
            items = [replace(item, seen=replace(item.seen, legacy=legacy)) for item in items]
        names = [item.breaker_id for item in items]
        if wish.guard:
            items = [replace(items[0], guard=wish.guard(names)), *items[1:]]
        results = await commit_all(means, items, wish.recheck)
        applied |= {name: result.applied for name, result in zip(names, results, strict=True)}
    return applied


def _parts(grants: Sequence[Known]) -> Iterator[Sequence[Known]]:
    """Global alone before all others."""
    first = 1 if grants and grants[0].breaker_id == GLOBAL else 0
    if first:
        yield grants[:1]
    for place in range(first, len(grants), BATCH):
        yield grants[place : place + BATCH]


async def _drafts(means: Means, world: World, part: Sequence[Known], wish: Wish) -> list[Loosening]:
    async with means.pool.acquire() as connection:
        in_force = await limits_in_force(connection)
        postgres_now = await connection.fetchval("SELECT clock_timestamp()")
    if wish.until is None:  # what was seen is what is built on; only the time goes on
        world = replace(world, view=replace(world.view, server_time=await means.redis.time()))
    sizes = [means.sizes.size(item.breaker_id, in_force) for item in part]

    def drafted() -> list[Loosening]:
        pairs = zip(part, sizes, strict=True)
        return [
            made for item, size in pairs if (made := _draft(means, world, item, size, wish, postgres_now))
        ]

    items = await apart(len(part), drafted)
    if wish.until is None:
        return items
    deadline, deadline_db = wish.until
    return [replace(item, deadline=deadline, deadline_db=deadline_db) for item in items]


def _draft(
    means: Means, world: World, item: Known, size: Size, wish: Wish, postgres_now: datetime
) -> Loosening | None:
    document = read_document(item.raw, means.keyring)
    if not isinstance(document, Document) or document.state not in MOVES:
        return None
    return draft(
        means,
        world,
        commit_id=str(uuid4()),
        breaker_id=item.breaker_id,
        transition=MOVES[document.state],
        author=ITSELF,
        notes=document.notes,
        reason=document.reason,
        deadline_in=timedelta(seconds=means.limits.commit_deadline_s),
        postgres_now=postgres_now,
        details={**wish.details, "restores": document.event_id, "old_run_id": document.epoch.run_id},
        message=f"{item.breaker_id} restored.",
        quiet_until=document.quiet_until,
        pin_ancestors=False,
        size=size,
    )


async def adopt(means: Means, events: TripEvents, world: World, rest: Sequence[Known]) -> None:
    """Breakers without a grant go on under the new server: OPEN keeps its reason, a probe run is over."""
    for item in rest:
        if item.state is State.HALF_OPEN:
            await trip_itself(means, events, world, item.breaker_id, "Redis restarted during its probe run.")
    for place in range(0, len(rest), BATCH):
        part = rest[place : place + BATCH]
        documents = await apart(len(part), partial(_all_adopted, means, world, part))
        counters = [
            item.counter if item.run_id is not None else world.counter(item.breaker_id) or item.counter
            for item in part
        ]
        async with means.transaction() as connection:
            names = [item.breaker_id for item in part]
            await connection.execute(_ADOPT, world.run_id, names, counters, documents)


def _all_adopted(means: Means, world: World, part: Sequence[Known]) -> list[str | None]:
    return [_adopted(means, world, item) for item in part]


def _adopted(means: Means, world: World, item: Known) -> str | None:
    """Its OPEN document for this server; None where it has none."""
    document = read_document(item.raw, means.keyring)
    if not isinstance(document, Document) or document.state is not State.OPEN:
        return None
    epoch = Epoch(world.run_id, max(1, item.counter))
    return sign_document(replace(document, epoch=epoch, version=document.version + 1), means.key).decode()
