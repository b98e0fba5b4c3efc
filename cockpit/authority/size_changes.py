"""Documents of CLOSED and QUIET_PERIOD breakers follow their size: LIMIT at once, LIFT as any loosening.

A limit waits for nobody: not for other decisions, doubts, nor the evidence store (I6). A lift waits for all
of them, and for a while after the last change, so that an objective at its edge makes no document flap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from cockpit.authority.at_commit import stop
from cockpit.authority.commit import commit, commit_all
from cockpit.authority.entries import ITSELF
from cockpit.authority.loosening import Loosening, draft
from cockpit.authority.means import Means
from cockpit.authority.rules import doubts
from cockpit.authority.scenes import read_scene, standing_and_pending
from cockpit.authority.size_share import Size, limits_in_force
from cockpit.authority.world import World
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.documents import Document
from cockpit.domain.refusals import Code, Refused, StoreUnreachable
from cockpit.domain.states import SIZED, Transition
from cockpit.domain.text import clean

STEADY_S: Final = 10.0  # a document that was written is not lifted before
RETRY_S: Final = 1.0
BATCH: Final = 100


class SizeChanges:
    """Compares each document's share with what it should be, and changes those that differ."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._not_before: dict[BreakerId, datetime] = {}
        self._lifting: set[BreakerId] = set()  # waiting for their turn, or at it

    async def step(self, world: World) -> None:
        """Begin what is due."""
        means = self._means
        async with means.pool.acquire() as connection:
            in_force = await limits_in_force(connection)
        smaller: list[BreakerId] = []
        for name in means.catalogue.ids:
            document = sized_document(world, name)
            if document is None or name in means.in_flight or not self._due(world, name):
                continue
            wanted = means.sizes.size(name, in_force).share(document.state, means.limits)
            if wanted < document.size_share and len(smaller) < BATCH:
                smaller.append(name)
            elif wanted > document.size_share and world.now >= document.issued_at + timedelta(
                seconds=STEADY_S
            ):
                self._hold(world, name)
                if name not in self._lifting:
                    self._lifting.add(name)
                    means.spawn(self._lift(name, document), f"lift of {name}")
        if smaller:
            means.in_flight |= set(smaller)
            means.spawn(self._limit(smaller), f"limit of {len(smaller)} breakers")

    def _due(self, world: World, name: BreakerId) -> bool:
        return world.now >= self._not_before.get(name, world.now)

    def _hold(self, world: World, name: BreakerId) -> None:
        self._not_before[name] = world.now + timedelta(seconds=RETRY_S)

    async def _limit(self, names: Sequence[BreakerId]) -> None:
        means = self._means
        try:
            world = await means.reader.read()
            async with means.pool.acquire() as connection:
                in_force = await limits_in_force(connection)
                now = await connection.fetchval("SELECT clock_timestamp()")
            items = []
            for name in names:
                document = sized_document(world, name)
                size = means.sizes.size(name, in_force)
                if document is not None and size.share(document.state, means.limits) < document.size_share:
                    items.append(resized(means, world, document, Transition.LIMIT, size, now))
            for item, result in zip(items, await commit_all(means, items) if items else (), strict=True):
                said = "applied" if result.applied else f"not applied: {result.refusal}"
                means.health.changed(f"size of {item.breaker_id}", f"{item.document.size_share} {said}")
                if not result.applied:
                    self._hold(world, item.breaker_id)
        except StoreUnreachable as error:
            means.health.changed("size changes", str(error))
        finally:
            means.in_flight -= set(names)

    async def _lift(self, name: BreakerId, document: Document) -> None:
        means = self._means
        try:
            result = await self._commit_lift(name, document)
            if result is not None:
                means.health.changed(f"size of {name}", f"{result} again")
        except Refused as refused:
            means.health.changed(f"size of {name}", f"held: {refused}")
        finally:
            self._lifting.discard(name)

    async def _commit_lift(self, name: BreakerId, document: Document) -> Decimal | None:
        """In its turn. Until it commits, the breaker is not in flight: a limit would wait for it (I6)."""
        means = self._means
        async with means.loosening:
            world = await means.reader.read()
            if sized_document(world, name) != document:
                return None
            scene, _ = await read_scene(means, world, name)
            stop(doubts(scene, means.limits))
            async with means.pool.acquire() as connection:
                size = await means.sizes.of(connection, name)
            if size.share(document.state, means.limits) <= document.size_share:
                return None
            item = resized(means, world, document, Transition.LIFT, size, scene.postgres_now)

            async def guard(connection: Any) -> None:
                names = (name, *means.catalogue.ancestors(name))
                _, waits = await standing_and_pending(connection, ITSELF.user_id, names)
                if waits:
                    raise Refused(Code.PENDING_TRIP, f"A trip that concerns {name} came in meanwhile.")

            if name in means.in_flight:
                return None  # a limit began meanwhile
            result = await commit(means, replace(item, guard=guard))
        stop(result.refusal)
        return item.document.size_share


def sized_document(world: World, name: BreakerId) -> Document | None:
    """The current document of a breaker that lets orders through. Global's is left alone while its legacy
    key was written by hand: that halts everything, and a new document would wipe it out unanswered."""
    reading = world.readings[name]
    if reading.state not in SIZED or (name == GLOBAL and not world.legacy_ok):
        return None
    return reading.document


def resized(
    means: Means,
    world: World,
    document: Document,
    transition: Transition,
    size: Size,
    now: datetime,
    **more: Any,
) -> Loosening:
    """The same document with another share, by the authority itself unless `more` says otherwise."""
    name, share = document.breaker_id, size.share(document.state, means.limits)
    said = f"Orders at {share} of normal size" + (f": {size.words}." if size.words else ".")
    fields: dict[str, Any] = {
        "commit_id": str(uuid4()),
        "author": ITSELF,
        "notes": clean(said, 500),
        "deadline_in": timedelta(seconds=means.limits.commit_deadline_s),
        "details": {},
        "message": f"{name}: {clean(said, 500)}",
        **more,
    }
    return draft(
        means,
        world,
        breaker_id=name,
        transition=transition,
        reason=document.reason,
        postgres_now=now,
        quiet_until=document.quiet_until,
        pin_ancestors=False,
        size=size,
        **fields,
    )
