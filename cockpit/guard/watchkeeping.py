"""One term of the acting guard: read, judge, act, publish."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from backends.guard_store import GuardStore, Term
from backends.prometheus_gauge import BadGauge, PrometheusGauges
from backends.redis_store import RedisStore
from cockpit.config import Settings
from cockpit.domain.breakers import BreakerId
from cockpit.domain.lookout import Lookout
from cockpit.domain.refusals import Refused
from cockpit.domain.states import State
from cockpit.domain.text import clean
from cockpit.domain.trigger_rows import Rows
from cockpit.domain.trigger_watch import Latch, Standing
from cockpit.domain.triggers import Effect, Mode, Rule, StreamKind, streams_of
from cockpit.guard.actions import FRESH_S, Actions, Deed, Phase
from cockpit.guard.rule_file import RuleFile

log: Final = logging.getLogger("cockpit.guard")
TURN_S: Final = 0.2
RENEW_S: Final = 1.0
LEASE_S: Final = 5.0
STATES_S: Final = 0.5
GAUGES_S: Final = 2.0
GAP_S: Final = 120.0  # after a longer pause everything is read anew
MOST_STATUS: Final = 250_000
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
        self.began = asyncio.Event()

    def remember(self, former: Watchkeeping) -> None:
        """Take over what this process did in an earlier term."""
        _carry(former._lookout, self._lookout)

    async def run(self, stop: asyncio.Event) -> None:
        """Act until `stop`.

        Raises:
            Fenced: the term is over. Postgres's refusals end it too.
        """
        await self._load()
        beside = [
            asyncio.create_task(self._renew_forever(), name="lease"),
            asyncio.create_task(self._watch_states(), name="states"),
            asyncio.create_task(self._watch_gauges(), name="gauges"),
        ]
        self.began.set()
        try:
            while not stop.is_set():
                for task in beside:
                    if task.done():
                        task.result()
                await self.turn()
                await self._actions.keep_up(self._term)
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
        """Read what is new and do what is due. A reading that has become old by then is thrown away."""
        await self._read()
        self._forget_dropped()
        due = self._lookout.due(self._standing)
        if due and time.monotonic() - self._read_at > FRESH_S:
            return
        for firing in due:
            deed = self._actions.begin(firing, self._read_at, self._holds)
            latch = Latch(deed.firing_id, firing.breaker_id, firing.fired_at)
            self._lookout.watches[firing.rule.name].inherit(firing.subject, latch)

    def _forget_dropped(self) -> None:
        """What was never begun is due as if it had not been."""
        for firing_id in self._actions.take_dropped():
            self._lookout.forget(firing_id)

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
        if deed is not None and deed.phase is Phase.FAILED:
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

    def _status(self) -> str:
        reports = [report.payload() for report in self._lookout.reports()]
        faults = [self._file.fault, *self._lookout.faults(), *self._actions.waiting, *self._faults.values()]
        status = {
            "reports": reports,
            "faults": [clean(each, 300) for each in faults if each],
            "breached": self._lookout.breached()[:500],
        }
        text = json.dumps(status)
        if len(text) > MOST_STATUS:
            for report in reports:
                report["evidence"] = []
            text = json.dumps(status)
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

    async def _watch_gauges(self) -> None:
        """Ask Prometheus for the rules that look at it, one query after the other."""
        if self._settings.prometheus_url is None:
            if streams_of(self._file.rules, StreamKind.PROMETHEUS):
                self._faults["prometheus"] = "prometheus_url is not set: rules on it see nothing"
            await asyncio.Event().wait()
            return
        gauges = PrometheusGauges(self._settings.prometheus_url)
        try:
            while True:
                for query in streams_of(self._file.rules, StreamKind.PROMETHEUS):
                    await self._gauge(gauges, query)
                await asyncio.sleep(GAUGES_S)
        finally:
            gauges.close()

    async def _gauge(self, gauges: PrometheusGauges, query: str) -> None:
        try:
            value = await gauges.value(query)
        except (BadGauge, Refused) as error:
            self._faults[query] = f"prometheus {query}: {error}"
            return
        self._faults.pop(query, None)
        if self._lookout.now is not None:
            self._lookout.feed_gauge(query, self._lookout.now, value)


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


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
