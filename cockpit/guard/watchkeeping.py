"""One term of the acting guard: read, judge, act, publish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from backends.guard_store import GuardStore, Term
from backends.redis_store import RedisStore
from cockpit.config import Settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.lookout import Lookout
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.domain.text import clean
from cockpit.domain.trigger_rows import Rows
from cockpit.domain.trigger_watch import Latch, Standing
from cockpit.domain.triggers import Effect, Mode, Rule
from cockpit.guard.actions import FRESH_S, Actions
from cockpit.guard.deeds import Deed, Phase, joined
from cockpit.guard.gauges import watch_gauges
from cockpit.guard.latching import Latching
from cockpit.guard.rule_file import RuleFile

log: Final = logging.getLogger("cockpit.guard")
TURN_S: Final = 0.2
RENEW_S: Final = 1.0
LEASE_S: Final = 5.0
STATES_S: Final = 0.5
GAP_S: Final = 120.0  # after a longer pause everything is read anew
MOST_STATUS: Final = 250_000
KEEP_UP_S: Final = 0.1
PATIENCE: Final = 2  # readings thrown away in a row for their age before one counts for all that
_BACK: Final = timedelta(seconds=2)


class Fenced(Exception):
    """Another guard acts, or this one's lease has run out."""


class Watchkeeping:
    """Everything of one term. `redis` shows whether what was halted is still halted."""

    def __init__(
        self,
        settings: Settings,
        store: GuardStore,
        redis: RedisStore,
        actions: Actions,
        rule_file: RuleFile,
        term: Term,
    ) -> None:
        self._settings = settings
        self._store = store
        self._redis = redis
        self._actions = actions
        self._file = rule_file
        self._term = term
        self._lookout = Lookout(rule_file.rules, settings.catalogue)
        self._rows: Rows | None = None
        self._read_at = 0.0
        self._renewed_at = time.monotonic()
        self._states: Mapping[BreakerId, State] = {}
        self._states_at = 0.0
        self._faults: dict[str, str] = {}
        self._thrown_away = 0
        self._unapplied: frozenset[str] = frozenset()
        self._latching = Latching(
            settings.catalogue, store, actions, term, self._holds, lambda: self._unapplied
        )
        actions.enter(term)
        self.began = asyncio.Event()

    def remember(self, former: Watchkeeping) -> None:
        """Take over what this process did in an earlier term."""
        _carry(former._lookout, self._lookout)

    async def run(self, stop: asyncio.Event) -> None:
        """Act until `stop`.

        Raises:
            Fenced: the term is over. Postgres's refusals end it too.
        """
        url, file = self._settings.prometheus_url, self._file
        beside = [  # from the first moment on: reading everything may take longer than a lease lasts
            asyncio.create_task(self._renew_forever(), name="lease"),
            asyncio.create_task(self._keep_up_forever(), name="records"),
            asyncio.create_task(self._watch_states(), name="states"),
            asyncio.create_task(watch_gauges(url, file, lambda: self._lookout, self._faults), name="gauges"),
        ]
        try:
            self._unapplied = _unapplied((await self._store.predecessor())[0])
            # It reads other tables than the rules do, and goes on where somebody locks those.
            beside.append(asyncio.create_task(self._latching.run(), name="latches"))
            await self._load()
            self.began.set()
            while not stop.is_set():
                for task in beside:
                    if task.done():
                        task.result()
                await self.turn()
                await _pause(stop, TURN_S)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def finish(self) -> None:
        """What is under way comes to its end, is recorded and published; then a standby may act at once."""
        if self._actions.tasks:
            await asyncio.wait(self._actions.tasks, timeout=LEASE_S)
        await self._actions.keep_up(self._term)
        await self._store.renew(self._term, self._status())
        await self._store.release(self._term)

    async def turn(self) -> None:
        """Read what is new and do what is due. A reading that has become old by then is thrown away, but not
        for ever: where every reading takes so long, one counts while the lease holds."""
        await self._read()
        dropped = self._actions.take_dropped()
        for firing_id in dropped:  # never begun: due as if it had not been
            self._lookout.forget(firing_id)
        due = self._lookout.due(self._standing)
        stale = time.monotonic() - self._read_at > FRESH_S
        insists = self._thrown_away + bool(dropped) >= PATIENCE and self._holds()
        self._thrown_away = self._thrown_away + 1 if dropped or (due and stale) else 0
        if stale and not insists:
            return
        for firings in joined(due):
            deeds = self._actions.begin(firings, math.inf if insists else self._read_at, self._holds)
            for deed in deeds:
                firing = deed.firing
                latch = Latch(deed.firing_id, firing.breaker_id, firing.fired_at, tries=firing.tries)
                self._lookout.watches[firing.rule.name].inherit(firing.subject, latch)

    async def _read(self) -> None:
        if self._file.refresh():
            await self._load()
            return
        before, begin = self._rows, time.monotonic()
        if before is None or begin - self._read_at > GAP_S:
            await self._load()
            return
        rows = await self._store.changes(self._lookout.plan, self._term, self._limits(), before.cursor)
        if rows.now < before.now - _BACK:
            log.warning("the database's clock went back: everything is read anew")
            await self._load()
            return
        self._take(rows, begin)

    async def _load(self) -> None:
        """Everything from the store: what a takeover sees is what its predecessor saw."""
        lookout = Lookout(self._file.rules, self._settings.catalogue)
        status, firings = await self._store.predecessor()
        lookout.inherit(firings, _breached(status))
        begin = time.monotonic()
        rows = await self._store.load(lookout.plan, self._term, self._limits())
        _carry(self._lookout, lookout)
        self._lookout = lookout
        self._take(rows, begin)

    def _take(self, rows: Rows, begin: float) -> None:
        if not rows.holds:
            raise Fenced(f"term {self._term.number} is over")
        self._rows, self._read_at = rows, begin
        took_s = time.monotonic() - begin
        self._faults.pop("reading", None)
        if took_s > FRESH_S:
            self._faults["reading"] = f"readings take {took_s:.1f} s: what is due is done late"
        self._lookout.feed(rows)

    def _holds(self) -> bool:
        return time.monotonic() - self._renewed_at < LEASE_S

    def _limits(self) -> list[str]:
        return [
            latch.firing_id
            for rule, latch in self._lookout.latches
            if rule.effect is Effect.LIMIT and rule.mode is Mode.LIVE
        ]

    def _standing(self, rule: Rule, latch: Latch) -> Standing:
        deed = self._actions.deeds.get(latch.firing_id)
        if rule.mode is Mode.SHADOW or (deed is not None and deed.phase is Phase.UNDER_WAY):
            return Standing.HOLDS
        if deed is not None and deed.phase is Phase.PENDING:
            return Standing.NOT_YET
        if deed.phase is Phase.FAILED if deed is not None else latch.firing_id in self._unapplied:
            return Standing.FAILED
        if rule.effect is Effect.LIMIT:
            return self._limit_standing(latch, deed)
        looked_after = deed is None or self._states_at > deed.ended
        state = self._states.get(latch.breaker_id) if looked_after else None
        return Standing.HOLDS if state in (None, State.OPEN) else Standing.RESUMED

    def _limit_standing(self, latch: Latch, deed: Deed | None) -> Standing:
        rows = self._rows
        if rows is None or latch.firing_id in rows.limits or latch.firing_id in rows.asked:
            return Standing.HOLDS
        if latch.firing_id in rows.lifted:
            return Standing.RESUMED
        read_after = deed is None or self._read_at > deed.ended
        return Standing.FAILED if read_after else Standing.HOLDS

    async def _renew_forever(self) -> None:
        """Renew the lease and publish each second.

        Raises:
            Fenced: the term is over.
        """
        while True:
            begin = time.monotonic()
            if not await self._store.renew(self._term, self._status()):
                raise Fenced(f"term {self._term.number} is over")
            self._renewed_at = begin
            await asyncio.sleep(RENEW_S)

    async def _keep_up_forever(self) -> None:
        """Record and deliver beside the readings, which wait for neither."""
        while True:
            await self._actions.keep_up(self._term)
            await asyncio.sleep(KEEP_UP_S)

    def _status(self) -> str | None:
        if self._rows is None:
            return None  # nothing is known yet: the predecessor's word stands
        reports = [report.payload() for report in self._lookout.reports()]
        own = (self._file.fault, self._latching.fault)
        faults = [*own, *self._lookout.faults(), *self._actions.waiting, *self._faults.values()]
        status = {
            "reports": reports,
            "faults": [clean(each, 300) for each in faults if each],
            "breached": self._lookout.breached()[:500],
            "unapplied": self._actions.unapplied[:500],
        }
        if len(text := json.dumps(status)) <= MOST_STATUS:
            return text
        for report in reports:  # a guard that publishes less still holds its lease, and acts
            report["evidence"] = []
        for part in ("", "breached", "unapplied", "reports"):
            status |= {part: []} if part else {}
            if len(text := json.dumps(status)) <= MOST_STATUS:
                break
        return text

    async def _watch_states(self) -> None:
        """Look whether what fired rules halted was resumed; only while there is such a thing."""
        while True:
            if any(
                rule.effect is Effect.TRIP and rule.mode is Mode.LIVE for rule, _ in self._lookout.latches
            ):
                begin = time.monotonic()
                try:
                    snapshot = await self._redis.snapshot()
                except Refused as error:
                    self._states = {}
                    self._faults["redis"] = f"whether halted breakers were resumed cannot be seen: {error}"
                else:
                    self._states = {name: each.state for name, each in snapshot.readings.items()}
                    self._states_at = begin
                    self._faults.pop("redis", None)
            await asyncio.sleep(STATES_S)


def _carry(former: Lookout, lookout: Lookout) -> None:
    """Our own memory of a firing goes before the store's, which may not have it yet."""
    for name, old in former.watches.items():
        watch = lookout.watches.get(name)
        for subject, latch in old.latches.items() if watch is not None else ():
            known = watch.latches.get(subject) if watch is not None else None
            if watch is not None and (known is None or known.fired_at <= latch.fired_at):
                watch.inherit(subject, replace(latch, restarted=False))


def _breached(status: Mapping[str, object]) -> frozenset[tuple[str, str]]:
    listed = status.get("breached")
    pairs = listed if isinstance(listed, list) else []
    return frozenset(
        (str(each[0]), str(each[1])) for each in pairs if isinstance(each, list) and len(each) == 2
    )


def _unapplied(status: Mapping[str, object]) -> frozenset[str]:
    listed = status.get("unapplied")
    return frozenset(each for each in (listed if isinstance(listed, list) else []) if isinstance(each, str))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
