"""What was known of a breaker before Redis changed under us, whether anything was lost, and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from backends.audit_log import append
from cockpit.authority.entries import ITSELF, new_entry
from cockpit.authority.incident_book import NewIncident, record_incident
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.world import World
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.incidents import Classification, Severity
from cockpit.domain.states import State

_LOST: Final = """
UPDATE breakers b
   SET redis_run_id = $1, counter = l.counter, state = 'OPEN', since = clock_timestamp(), actor = 'authority',
       reason = 'operational', notes = $4, updated_at = clock_timestamp(),
       document = CASE WHEN $5 THEN b.document END
  FROM unnest($2::text[], $3::bigint[]) AS l (breaker_id, counter)
 WHERE b.breaker_id = l.breaker_id
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What was last audited of a breaker. `run_id` None: it was never seen in Redis."""

    breaker_id: BreakerId
    run_id: str | None
    counter: int
    raw: bytes | None
    state: State

    def lost(self, world: World) -> bool:
        counter = world.counter(self.breaker_id)
        return counter is None or counter < self.counter

    def unchanged(self, world: World) -> bool:
        """Byte for byte as audited; an OPEN breaker's document grants nothing and need not be equal."""
        if world.view.counters[self.breaker_id] != str(self.counter).encode():
            return False
        return self.state is State.OPEN or world.view.documents[self.breaker_id] == self.raw


def doubt_of(world: World, moved: Sequence[Known], replicated: bool) -> str | None:
    """Why it cannot be shown that nothing was lost; None where it can.

    `replicated`: replicas were seen attached before. One that was promoted and then restarted cannot be told
    from the primary, and may lack a trip that nobody audited (F2).
    """
    facts = world.view.facts
    if all(item.run_id is None for item in moved):
        return None  # never seen before: there was nothing to lose
    if facts.role != "master" or facts.promoted or facts.loading:
        return "this server is or was a replica, which may lack what its primary acknowledged"
    if replicated:
        return "replicas were attached, one of which may have taken the primary's place"
    if not facts.durable:
        return "this server does not keep every write on disk before it acknowledges it"
    for item in moved:
        if item.run_id is None:
            continue
        if item.lost(world):
            return f"{item.breaker_id} has a lower trip counter than was audited"
        tripped = (world.counter(item.breaker_id) or 0) > item.counter
        if not tripped and not item.unchanged(world):
            return f"{item.breaker_id} is not byte for byte what was audited"
    return None


async def record_loss(means: Means, world: World, lost: Sequence[Known], why: str, *, watched: bool) -> None:
    """Raise counters first, then record; nothing is granted.

    `watched`: an authority was looking until the loss. Where none was, a trip may be lost that nobody saw,
    and no grant is kept for a restore (I1).

    What a counter shows above the recorded value was tripped by somebody since the loss: the drain audits
    it, and no restore reaches past it (I1).
    """
    counters: dict[BreakerId, int] = {}
    raised: dict[BreakerId, int] = {}
    for item in lost:
        counter = world.counter(item.breaker_id)
        counters[item.breaker_id] = item.counter
        if counter is None or counter < item.counter:
            counters[item.breaker_id] = item.counter + 1
            raised[item.breaker_id] = item.counter + 1
        elif item.run_id is None:
            counters[item.breaker_id] = counter
        elif counter == item.counter and not item.unchanged(world):
            # Its document is gone, so its counter may have begun anew: as good as one trip more.
            raised[item.breaker_id] = 1
    await means.redis.raise_counters(raised)
    event_id = str(uuid4())
    if not watched:
        why += ", while no authority was watching: no grant can be restored"
    notes = f"State lost: {why}."
    async with means.transaction() as connection:
        await connection.execute(_LOST, world.run_id, list(counters), list(counters.values()), notes, watched)
        entry = await append(
            connection,
            new_entry(
                means.key,
                ITSELF,
                Action.LOSS_DETECTED,
                event_id,
                GLOBAL,
                {"why": why, "run_id": world.run_id, "breakers": sorted(counters), "counters": counters},
            ),
        )
        title, key = f"State of {len(counters)} breakers and switches lost: {why}", f"loss:{event_id}"
        new = NewIncident(Severity.P1, Classification.OTHER.value, title, "authority", key, breaker_id=GLOBAL)
        await record_incident(connection, new, entry.seq)
        await tell(connection, CHANGE)
    lost_now = f"{len(counters)} breakers and switches are OPEN until restored or resumed"
    means.health.alarm(world.now, "loss", GLOBAL, f"{why}; {lost_now}")
