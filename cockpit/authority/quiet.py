"""Quiet periods end by Redis's clock, through the same commit as everything that loosens."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from cockpit.authority.commit import commit
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import draft
from cockpit.authority.means import Means
from cockpit.authority.rules import doubts
from cockpit.authority.scenes import read_scene, standing_and_pending
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Document
from cockpit.domain.refusals import Code, Refused
from cockpit.domain.states import State, Transition

RETRY_S: Final = 2.0


class QuietPeriods:
    """Ends those whose time has come; what stands in the way delays the end, and is said once."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._not_before: dict[BreakerId, datetime] = {}
        self._ending: set[BreakerId] = set()  # waiting for their turn, or at it

    async def step(self, world: World) -> None:
        """Begin to end every quiet period that is over."""
        for name, reading in world.readings.items():
            document = reading.document
            if reading.state is not State.QUIET_PERIOD or document is None or name in self._means.in_flight:
                continue
            due = document.quiet_until is not None and world.now >= document.quiet_until
            if due and world.now >= self._not_before.get(name, world.now):
                self._not_before[name] = world.now + timedelta(seconds=RETRY_S)
                if name not in self._ending:
                    self._ending.add(name)
                    self._means.spawn(self._end(name, document), f"quiet period of {name}")

    async def _end(self, name: BreakerId, document: Document) -> None:
        means = self._means
        try:
            await self._commit(name, document)
            means.health.changed(f"quiet period of {name}", "over")
        except Refused as refused:
            means.health.changed(f"quiet period of {name}", f"held: {refused}")
        finally:
            self._ending.discard(name)

    async def _commit(self, name: BreakerId, document: Document) -> None:
        """In its turn. Until it commits, the breaker is not in flight: a limit would wait for it (I6)."""
        means = self._means
        async with means.loosening:
            world = await means.reader.read()
            if (
                world.readings[name].document != document
                or world.readings[name].state is not State.QUIET_PERIOD
            ):
                return
            scene, _ = await read_scene(means, world, name)
            refusal = doubts(scene, means.limits)
            if refusal:
                raise Refused(refusal.code, refusal.message, refusal.remedy)
            if name == GLOBAL and not world.legacy_ok:
                return  # the watch answers a hand-written value first; this commit would wipe it out
            async with means.pool.acquire() as connection:
                size = await means.sizes.of(connection, name)
            item = draft(
                means,
                world,
                commit_id=str(uuid4()),
                breaker_id=name,
                transition=Transition.END_QUIET_PERIOD,
                author=ITSELF,
                notes="Quiet period over.",
                reason=document.reason,
                deadline_in=timedelta(seconds=means.limits.commit_deadline_s),
                postgres_now=scene.postgres_now,
                details={"quiet_until": document.quiet_until, "closed_by": document.actor},
                message=f"{name} is CLOSED · TRADING.",
                pin_ancestors=False,
                size=size,
            )

            async def guard(connection: Any) -> None:
                names = (name, *means.catalogue.ancestors(name))
                _, waits = await standing_and_pending(connection, ITSELF.user_id, names)
                if waits:
                    raise Refused(Code.PENDING_TRIP, f"A trip that concerns {name} came in meanwhile.")

            if name in means.in_flight:
                return  # its size is just being changed; the next turn ends it
            await commit(means, replace(item, guard=guard))
