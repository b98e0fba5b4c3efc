"""What was known of a breaker before Redis changed under us, and whether anything of it was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cockpit.authority.world import World
from cockpit.domain.breakers import BreakerId
from cockpit.domain.states import State


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


def doubt_of(world: World, moved: Sequence[Known]) -> str | None:
    """Why it cannot be shown that nothing was lost; None where it can."""
    facts = world.view.facts
    if all(item.run_id is None for item in moved):
        return None  # never seen before: there was nothing to lose
    if facts.role != "master" or facts.promoted or facts.loading:
        return "this server is or was a replica, which may lack what its primary acknowledged"
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
