"""After a new `run_id`, or lost keys: what can be proved is re-issued, the rest stays OPEN.

Automatic only where nothing was lost: this server was never a replica, every write was on disk before it was
acknowledged, and every counter and every granted document is byte for byte what was audited last. Otherwise
counters are raised past what is known and a safety-admin's `restore` re-issues what no later trip overtook.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from backends.audit_log import append
from backends.signing import read_document
from cockpit.authority.at_commit import stop
from cockpit.authority.batches import apart
from cockpit.authority.compare_and_set import Held
from cockpit.authority.decisions import Asked, done, record_outcome, refuse
from cockpit.authority.entries import new_entry
from cockpit.authority.identity import authorise
from cockpit.authority.kill_review import unreviewed_kill
from cockpit.authority.losses import Known, doubt_of, record_loss
from cockpit.authority.means import CHANGE, Means, tell
from cockpit.authority.reissue import MOVES, Wish, adopt, reissue
from cockpit.authority.restore_rows import all_known, restored_words
from cockpit.authority.rules import doubts
from cockpit.authority.scenes import read_scene, standing_and_pending
from cockpit.authority.trip_events import TripEvents
from cockpit.authority.waiting_trips import concerned, refused_for, unopposed
from cockpit.authority.world import World
from cockpit.domain.audit import Action
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Command
from cockpit.domain.documents import Document
from cockpit.domain.legacy import legacy_agrees
from cockpit.domain.permissions import Identity, Permission
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State

RETRY_S: Final = 2.0
SOON_S: Final = 0.2


class Restoration:
    """Watches for another server and for lost keys, and acts once on each."""

    def __init__(self, means: Means, events: TripEvents) -> None:
        self._means = means
        self._events = events
        self._not_before: datetime | None = None
        self._watched = False  # in this term, so far
        self._sound: int | None = None  # what was read when nothing had moved or was lost

    async def step(self, world: World) -> bool:
        """Deal with what has moved or was lost; True where the world must be read anew."""
        watched, self._watched = self._watched, True
        health = self._means.health
        health.replicated = health.replicated or world.view.facts.replicas > 0
        if world.stamp == self._sound:
            return False
        busy = bool(self._means.in_flight)
        known = await all_known(self._means)
        moved = [item for item in known if item.run_id != world.run_id]
        here = [item for item in known if item.run_id == world.run_id]
        lost = [item for item in here if item.lost(world) or self._emptied(item, world)]
        if lost:
            why = "trip counters are missing or lower than they were"
            await record_loss(self._means, world, lost, why, watched=watched)
            return True
        if not moved:
            self._sound = None if busy else world.stamp
            return False
        doubt = doubt_of(world, moved, health.replicated)
        if doubt:
            await record_loss(self._means, world, moved, doubt, watched=watched)
            return True
        return await self._reissue(world, moved)

    async def asked_for(self, asked: Asked, command: Command, identity: Identity) -> None:
        """A safety-admin's restore: re-issue every grant that no later trip has overtaken."""
        try:
            await self._asked_for(asked, command, identity)
        except Refused as refused:
            await refuse(self._means, asked, command, identity.role.value, refused.refusal)

    async def _asked_for(self, asked: Asked, command: Command, identity: Identity) -> None:
        means = self._means
        world = await means.reader.read()
        scene, _ = await read_scene(means, world, command.breaker_id)
        refusal = doubts(scene, means.limits)
        async with means.pool.acquire() as connection:
            refusal = refusal or await unreviewed_kill(connection, GLOBAL)
        if refusal:
            raise Refused(refusal.code, refusal.message, refusal.remedy)
        wanted = (
            set(means.catalogue.everything)
            if command.breaker_id == GLOBAL
            else {command.breaker_id, *means.catalogue.descendants(command.breaker_id)}
        )
        known = [item for item in await all_known(means) if item.breaker_id in wanted]
        grants = await apart(len(known), lambda: [item for item in known if self._restorable(item, world)])
        grants, _ = await self._free(grants)

        async def allowed(connection: Any, names: Sequence[BreakerId]) -> Held:
            concerning = [each for name in names for each in (name, *means.catalogue.ancestors(name))]
            standing, waits = await standing_and_pending(
                connection, command.login, list(dict.fromkeys(concerning))
            )
            _, denied = authorise(standing, command.login, Permission.RESTORE, command.breaker_id)
            denied = denied or await unreviewed_kill(connection, GLOBAL)
            if denied:
                return dict.fromkeys(names, denied), None
            waited = await concerned(connection, names, means.catalogue) if waits else ()
            return refused_for(waited), standing.until(
                Permission.RESTORE, command.breaker_id
            ) if standing else None

        async def guard(connection: Any, names: Sequence[BreakerId]) -> None:
            refusals, _ = await allowed(connection, names)
            for refusal in refusals.values():
                stop(refusal)

        deadline_in = timedelta(seconds=means.limits.commit_deadline_s)
        wish = Wish(
            {"requested_by": command.login, "request_id": command.request_id, "automatic": False},
            allowed,
            (world.now + deadline_in, scene.postgres_now + deadline_in),
            lambda names: partial(guard, names=names),
        )
        applied = await reissue(means, world, grants, wish)
        restored = [name for name, done in applied.items() if done]
        left = sorted(
            name for name, reading in world.readings.items() if reading.state is State.OPEN and name in wanted
        )
        left = [name for name in left if not applied.get(name)]
        message = restored_words(restored, left)
        async with means.transaction() as connection:
            entry = await append(
                connection,
                new_entry(
                    means.key,
                    asked.author(identity.role.value),
                    Action.RESTORE,
                    asked.request_id,
                    command.breaker_id,
                    {"restored": restored, "left": left, "notes": command.notes},
                ),
            )
            outcome = done(command.breaker_id, message, asked.request_id, entry.seq, redis=True)
            await record_outcome(
                connection, asked.request_id, "done", outcome, entry.seq, kind=command.kind.value
            )
            await tell(connection, CHANGE)

    async def _free(self, grants: Sequence[Known]) -> tuple[list[Known], list[Known]]:
        """The grants that no waiting trip concerns, and the others. Each item's recheck finds later ones."""
        async with self._means.pool.acquire() as connection:
            names = [item.breaker_id for item in grants]
            waited = await concerned(connection, names, self._means.catalogue)
        free = [item for item in grants if item.breaker_id not in waited]
        return free, [item for item in grants if item.breaker_id in waited]

    def _restorable(self, item: Known, world: World) -> bool:
        document = read_document(item.raw, self._means.keyring)
        return (
            isinstance(document, Document)
            and document.state in MOVES
            and item.state is State.OPEN
            and item.run_id == world.run_id
            and item.counter == world.counter(item.breaker_id)
            and world.readings[item.breaker_id].state is State.OPEN
            and self._legacy_unmarked(item, world, document)
        )

    def _legacy_unmarked(self, item: Known, world: World, document: Document) -> bool:
        """Global is not restored over a value that somebody wrote by hand."""
        raw = world.view.legacy
        return item.breaker_id != GLOBAL or raw is None or legacy_agrees(raw, document)

    def _emptied(self, item: Known, world: World) -> bool:
        """Whether a granted document has vanished: Redis was emptied, and its counter counted up to ours."""
        granted = item.state is not State.OPEN and item.counter == world.counter(item.breaker_id)
        gone = world.view.documents[item.breaker_id] is None
        return granted and gone and item.breaker_id not in self._means.in_flight

    async def _reissue(self, world: World, moved: Sequence[Known]) -> bool:
        """Nothing was lost: the same grants for the new server, in the order of the hierarchy."""
        means = self._means
        if self._not_before is not None and world.now < self._not_before:
            return False
        self._not_before = world.now + timedelta(seconds=RETRY_S)
        grants: list[Known] = []
        rest: list[Known] = []
        for item in moved:
            granted = item.state in MOVES and item.raw is not None
            (grants if granted and item.unchanged(world) else rest).append(item)
        await adopt(means, self._events, world, rest)
        scene, _ = await read_scene(means, world, GLOBAL)
        fault = scene.chain_fault or scene.store_fault
        if grants and fault:
            means.health.changed("restore", f"held: {fault}")
            return bool(rest)
        grants, held = await self._free(grants)
        if held:  # they stay OPEN; once it is applied, which takes no time here, they are looked at again
            self._not_before = world.now + timedelta(seconds=SOON_S)
            means.health.changed("restore", f"{len(held)} held: a trip that concerns them waits")
        applied = await reissue(means, world, grants, Wish({"automatic": True}, unopposed(means.catalogue)))
        if applied:
            means.health.changed(
                "restore",
                f"{sum(applied.values())} of {len(applied)} grants re-issued for {world.run_id[:8]}",
            )
        return True
