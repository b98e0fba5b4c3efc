"""One term of the acting authority: what it does at its start and in each turn of its loop."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from backends.audit_log import append
from backends.evidence import EvidenceUnavailable
from cockpit.authority.anchors import Anchors
from cockpit.authority.backlog import Backlog, rebuild_backlog
from cockpit.authority.drain import Drain
from cockpit.authority.entries import ITSELF, new_entry
from cockpit.authority.genesis import use_genesis
from cockpit.authority.inbox import Inbox
from cockpit.authority.incident_clocks import IncidentClocks
from cockpit.authority.incident_slos import SloIncidents
from cockpit.authority.lease import RENEW_S, Fenced
from cockpit.authority.means import Means
from cockpit.authority.opening import repair_open_documents
from cockpit.authority.proof import Readers
from cockpit.authority.quiet import QuietPeriods
from cockpit.authority.recovery import settle_intents
from cockpit.authority.restore import Restoration
from cockpit.authority.resume import Resumption
from cockpit.authority.run_incidents import RunIncidents
from cockpit.authority.runs import Runs
from cockpit.authority.size_changes import SizeChanges
from cockpit.authority.trip_events import TripEvents
from cockpit.authority.watch import Watch
from cockpit.authority.world import World
from cockpit.domain.audit import Action, ChainBroken
from cockpit.domain.refusals import StoreUnreachable

CHECK_S: Final = 5.0
HEAD_START_S: Final = 0.02  # no trip waits for it: its event ends the pause, and the turn begins at once
FULL_AGAIN_S: Final = 43_200.0
_REPLICATED: Final = "SELECT coalesce((status ->> 'replicated')::boolean, false) FROM authority_lease"


class Term:
    """Everything of one term. Steps run one after the other; commits that wait for others run beside."""

    def __init__(self, means: Means, readers: Readers) -> None:
        self._means = means
        events = TripEvents(means)
        self._drain = Drain(means, events)
        self._restoration = Restoration(means, events)
        self._inbox = Inbox(means, Resumption(means, readers), self._restoration, events)
        self._watch = Watch(means, events)
        self._runs = Runs(means, events)
        self._quiet = QuietPeriods(means)
        self._size_changes = SizeChanges(means)
        self._anchors = Anchors(means)
        self._backlog = Backlog(means)
        self._incident_clocks = IncidentClocks(means)
        self._slo_incidents = SloIncidents(means)
        self._run_incidents = RunIncidents(means)
        self._settled = False
        self._checked_at = 0.0
        self._full_at = 0.0
        self._beside: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Announce the term and gather what a predecessor left."""
        means = self._means
        async with means.transaction() as connection:
            means.health.replicated = bool(await connection.fetchval(_REPLICATED))
            entry = new_entry(
                means.key,
                ITSELF,
                Action.AUTHORITY_TERM,
                f"term-{means.lease.term}",
                "authority",
                {"term": means.lease.term, "holder": means.lease.holder},
            )
            await append(connection, entry)
        await rebuild_backlog(means)
        await self._verify_full()

    async def turn(self) -> None:
        """One turn: read Redis and act on what it shows.

        Raises:
            Doubt, Fenced: the term must end. Postgres's errors end it too.
        """
        self._means.raise_failures()
        try:
            await self._redis_turn()
            self._means.health.redis_ok = True
            self._means.health.changed("redis", "answers")
        except StoreUnreachable as error:
            self._means.health.redis_ok = False
            self._means.health.changed("redis", str(error))
        await self._incident_clocks.step()
        await self._slo_incidents.step()
        self._keep_up()

    async def take_requests(self) -> None:
        """Take in what has come; runs beside the turns.

        Raises:
            Doubt, Fenced: the term must end. Postgres's errors end it too.
        """
        await self._inbox.step()

    async def read_runs(self) -> None:
        """Follow the run folders that the settings name; runs beside the turns.

        Raises:
            Fenced: the term must end. Postgres's errors end it too.
        """
        await self._run_incidents.watch()

    async def give_way(self) -> None:
        """Let loosenings that are being decided have the loop to themselves for a moment."""
        if self._means.tasks:
            await asyncio.wait(self._means.tasks, timeout=HEAD_START_S)

    async def renew_forever(self) -> None:
        """Renew the lease and publish the health each second.

        Raises:
            Fenced: the term is over.
        """
        while True:
            async with self._means.pool.acquire() as connection:
                await self._means.lease.renew(connection, self._means.health.published())
            await asyncio.sleep(RENEW_S)

    @property
    def beside(self) -> tuple[asyncio.Task[None], ...]:
        """What runs beside the loop besides commits."""
        return () if self._beside is None else (self._beside,)

    async def finish(self) -> None:
        """Let what is between an intent and its outcome come to its end."""
        if self._means.tasks:
            await asyncio.wait(self._means.tasks, timeout=CHECK_S)
        for task in (*self._means.tasks, self._beside):
            if task is not None and not task.done():
                task.cancel()

    async def _redis_turn(self) -> None:
        means = self._means
        world = await means.reader.read()
        world = await self._hold_term(world)
        means.health.redis_run_id = world.run_id
        async with means.pool.acquire() as connection:
            await means.sizes.load(connection)
        if await self._restoration.step(world):
            world = await means.reader.read()
        while await use_genesis(means, world):
            world = await means.reader.read()
            if await self._drain.step(world):
                world = await means.reader.read()
        if await self._drain.step(world):
            world = await means.reader.read()
        await self._inbox.retry_pending()
        await self.give_way()
        async with means.pool.acquire() as connection:
            await repair_open_documents(means, connection, world)
        if await self._watch.step(world):
            world = await means.reader.read()
            await self._drain.step(world)
        await self._runs.step(world)
        await self._quiet.step(world)
        await self._size_changes.step(world)

    async def _hold_term(self, world: World) -> World:
        """Take the term in Redis before anything else is done there, again where it was lost."""
        means = self._means
        if world.view.term == str(means.lease.term).encode() and self._settled:
            return world
        async with means.pool.acquire() as connection, connection.transaction():
            await means.lease.check(connection)
        if not await means.redis.take_term(means.lease.term):
            raise Fenced("a newer term has been taken in Redis")
        world = await means.reader.read()
        if not self._settled:
            settled = await settle_intents(means, world)
            self._settled = True
            if settled:
                means.anchor_due = True
                means.health.changed("recovery", f"{settled} open intents settled in term {means.lease.term}")
        return world

    def _keep_up(self) -> None:
        """Evidence and anchors go on beside the loop, one pass at a time."""
        if self._beside is not None:
            if not self._beside.done():
                return
            done, self._beside = self._beside, None
            done.result()
        now = time.monotonic()
        check = now - self._checked_at >= CHECK_S
        if check:
            self._checked_at = now
        if check or self._means.backlog or self._means.anchor_due:
            self._beside = asyncio.create_task(self._pass(check, now), name="evidence and anchors")

    async def _pass(self, check: bool, now: float) -> None:
        await self._backlog.step(check)
        if now - self._full_at >= FULL_AGAIN_S or self._means.health.chain.full_verified_at is None:
            await self._verify_full()
        await self._anchors.step(now)

    async def _verify_full(self) -> None:
        means = self._means
        try:
            async with means.pool.acquire() as connection:
                await means.chain.verify_full(connection)
            self._full_at = time.monotonic()
            means.health.changed("chain", "verified from its start")
        except ChainBroken as broken:
            means.health.changed("chain", str(broken))
        except EvidenceUnavailable as error:
            means.health.evidence_ok = False
            means.health.changed("chain", f"not verified: {error}")
