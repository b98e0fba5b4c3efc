"""Two operators, two admins, authorities that die, a Redis that dies: against an independent oracle.

# I1, I2, I3, I4, I5, I8, I9, I10, I11, I12, I19, I20, I22, I24; F1, F5, F6, F7, F11, F16, F23
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from cockpit.authority import faults
from cockpit.domain.breakers import GLOBAL, BreakerId
from cockpit.domain.commands import Kind
from cockpit.domain.documents import Epoch
from cockpit.domain.permissions import Role
from cockpit.domain.refusals import Refused
from cockpit.domain.slos import Slo
from cockpit.domain.states import State
from cockpit.operations.outcomes import Outcome
from tests.authority.budgets import FILLS, GREEN, ORANGE, ORDERS
from tests.stateful.oracle import Oracle, Pending
from tests.stateful.world import Running, World
from tests.trading_platform import Template

QUIET_S: Final = 0.4
RESET_S: Final = 0.6
LIMITS: Final[dict[str, object]] = {
    "quiet_period_s": QUIET_S,
    "reset_interval_s": RESET_S,
    "run_deadline_s": 3,
    "close_window_s": 6,
    "approval_expiry_s": 20,
    "latency_bound_ms": 60_000,
    "max_clock_skew_s": 30,
}
EXECUTION = BreakerId("component:execution")
BTC = BreakerId("instrument:BTC-USD")
BREAKERS = (GLOBAL, EXECUTION, BTC)
PEOPLE = ("operator1", "operator2", "admin1", "admin2", "admin1b")
DISHONEST = (
    "missing",
    "duplicate",
    "foreign login",
    "foreign epoch",
    "foreign probe",
    "three of five",
    "late",
)
FORBIDDEN = (
    ("SET", "breaker:{name}", "{document}"),
    ("SET", "trip:{name}", "1"),
    ("INCRBY", "trip:{name}", "-5"),
    ("DECR", "trip:{name}"),
    ("DEL", "trip:{name}"),
    ("SET", "authority:term", "999"),
    ("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "breaker:{name}", "{document}"),
    ("RESTORE", "breaker:{name}", "0", "{document}"),
)
DONE: Counter[str] = Counter()
WHY: Counter[str] = Counter()

SHARES = ("0.7", "0.5", "0.2")
breakers = st.sampled_from(BREAKERS)
people = st.sampled_from(PEOPLE)


def only_if(condition: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A rule that does nothing otherwise. What hypothesis draws must not depend on the servers' timing, as it
    would with its own preconditions."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def guarded(self: Any, **drawn: Any) -> None:
            if condition(self):
                function(self, **drawn)

        return guarded

    return decorate


class BreakerMachine(RuleBasedStateMachine):
    template: Template
    folder: Path
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        place = self.folder / str(self.examples)
        place.mkdir()
        self.world = World(self.template, place, LIMITS)
        self.old_documents: list[bytes] = []
        self.old_legacy: list[bytes] = []
        self.old_results: list[Any] = []
        self.flushed_from: dict[BreakerId, int] = {}
        self.do = self.world.do

    @initialize()
    def begin(self) -> None:
        self.do(self._begin())

    async def _begin(self) -> None:
        world = self.world
        await world.open()
        await world.platform.add_login("admin1b", Role.SAFETY_ADMIN, "person:admin1")
        self.oracle = Oracle(world.settings.catalogue, QUIET_S)
        await world.start("first")
        await world.until(self._all_closed, "the genesis grant")
        self.oracle.begin(await world.counters())

    async def _all_closed(self) -> bool:
        return all(state is State.CLOSED for state in (await self.world.states()).values())

    def teardown(self) -> None:
        if hasattr(self, "oracle"):
            try:
                self.do(self._whole_audit())
            finally:
                self.do(self.world.close())
        self.world.runner.close()

    # Halting: works with and without an authority.

    @rule(name=breakers, login=people)
    def trip(self, name: BreakerId, login: str) -> None:
        self.do(self._trip(name, login))

    async def _trip(self, name: BreakerId, login: str) -> None:
        if login.startswith("operator") and name == GLOBAL:
            with pytest.raises(Refused):
                await self.world.trip(name, login)
            return
        epoch = await self.world.trip(name, login)
        self.oracle.tripped(name, epoch.counter)

    @rule(name=st.sampled_from(BREAKERS[1:]), login=st.sampled_from(("operator1", "operator2")))
    def raw_incr(self, name: BreakerId, login: str) -> None:
        counter = self.do(self.world.raw(login, "INCR", f"trip:{name}"))
        self.oracle.tripped(name, counter)

    @rule(rarely=st.integers(0, 1), old=st.booleans(), login=st.sampled_from(("admin1", "admin2")))
    def write_legacy_by_hand(self, rarely: int, old: bool, login: str) -> None:
        if rarely == 0:
            self.do(self._write_legacy(old, login))

    async def _write_legacy(self, old: bool, login: str) -> None:
        current = await self.world.raw("owner", "GET", "circuit_breaker:state")
        value = (
            self.old_legacy[0] if old and self.old_legacy else b'{"state":"OPEN","event_id":"x","epoch":1}'
        )
        if current == value or self.oracle.unread or self.oracle.foreign or current is None:
            return
        self.oracle.foreign = True
        before = (await self.world.counters())[GLOBAL]
        await self.world.raw(login, "SET", "circuit_breaker:state", value)
        self._check(await self.world.gate.survey(), "a foreign legacy key", watch=False)
        if self.world.acting:
            await self._answered(before)

    async def _answered(self, before: int) -> None:
        async def tripped() -> bool:
            return (await self.world.counters())[GLOBAL] > before

        await self.world.until(tripped, "the legacy key answered with a trip")
        self.oracle.tripped(GLOBAL, (await self.world.counters())[GLOBAL])
        await self.world.settled()
        self.oracle.foreign = False

    # Resuming.

    @rule(name=breakers, login=people, calm=st.booleans())
    @only_if(lambda self: self.world.acting)
    def half_open(self, name: BreakerId, login: str, calm: bool) -> None:
        self.do(self._half_open(name, login, calm))

    async def _half_open(self, name: BreakerId, login: str, calm: bool = True) -> Outcome:
        if calm:
            await self._calm()
        self.oracle.learn(await self.world.counters())
        outcome = await self.world.ask(Kind.HALF_OPEN, name, login)
        self._half_open_came_to(name, login, outcome)
        return outcome

    def _half_open_came_to(self, name: BreakerId, login: str, outcome: Outcome) -> None:
        DONE[f"half-open {outcome.word}"] += 1
        if outcome.word == "refused":
            WHY[outcome.message[:60]] += 1
        if outcome.word == "done":
            assert name != GLOBAL, "global half-opened by one person"  # I19
            assert outcome.epoch is not None
            self.oracle.begun(name, outcome.epoch)
        elif outcome.word == "pending" and outcome.event_id:
            self.oracle.pending.append(
                Pending(outcome.event_id, name, login, self.oracle.counters.get(name, 0))
            )

    async def _calm(self) -> None:
        await self.world.settled()
        await self.world.acknowledge_all()
        budgets = self.world.budgets
        if None in budgets.left.values():
            budgets.left = {name: left for name, left in budgets.left.items() if left is not None}
            await budgets.seen()

    @rule(login=st.sampled_from(("admin1", "admin1b", "admin2", "operator1")), which=st.integers(0, 9))
    @only_if(lambda self: self.world.acting and self.oracle.pending)
    def approve(self, login: str, which: int) -> None:
        waiting = self.oracle.pending[-1 - which % len(self.oracle.pending)]
        self.do(self._approve(waiting, login))

    async def _approve(self, waiting: Pending, login: str) -> None:
        self.oracle.learn(await self.world.counters())
        outcome = await self.world.approve(waiting.request_id, login)
        DONE[f"approve {outcome.word}"] += 1
        if outcome.word == "done":
            assert outcome.epoch is not None
            self.oracle.approved(waiting.request_id, login, outcome.epoch)

    async def _fresh_run(self, name: BreakerId) -> Any:
        found = await self.world.run_of(name)
        return found if found and found.run.status == "running" and not found.results else None

    @rule(name=breakers, failing=st.one_of(st.none(), st.integers(0, 4)))
    @only_if(lambda self: State.HALF_OPEN in self.oracle.grants.values())
    def probe_honestly(self, name: BreakerId, failing: int | None) -> None:
        self.do(self._probe_honestly(name, failing))

    async def _probe_honestly(self, name: BreakerId, failing: int | None) -> None:
        found = await self._fresh_run(name)
        if found is None:
            return
        if self.oracle.grants[name] is State.HALF_OPEN:
            self.oracle.proved.add(name)
        for ordinal in range(5):
            await self.world.report(found, found.run.login, ordinal, ordinal != failing)
        self.old_results.append(found)
        if self.world.acting:
            await self._judged(found.run.run_id)
            DONE["honest run " + await self.world.run_status(found.run.run_id)] += 1

    async def _judged(self, run_id: str) -> None:
        async def decided() -> bool:
            return await self.world.run_status(run_id) != "running"

        await self.world.until(decided, "the run judged")

    @rule(name=breakers, how=st.sampled_from(DISHONEST))
    @only_if(lambda self: self.world.acting and State.HALF_OPEN in self.oracle.grants.values())
    def probe_dishonestly(self, name: BreakerId, how: str) -> None:
        self.do(self._probe_dishonestly(name, how))

    async def _probe_dishonestly(self, name: BreakerId, how: str) -> None:
        found = await self._fresh_run(name)
        if found is None:
            return
        world, login, epoch = self.world, found.run.login, found.run.epoch
        other = "operator1" if login != "operator1" else "operator2"
        DONE[f"run with {how}"] += 1
        if how == "late":
            await self._redis_time(found.run.deadline.timestamp())
        for ordinal in range(4):
            await world.report(found, login, ordinal, ordinal < 3 or how != "three of five")
        match how:
            case "duplicate":
                await world.report(found, login, 3, True)
            case "foreign login":
                await world.report(found, other, 4, True)
            case "foreign epoch":
                await world.report(found, login, 4, True, epoch=Epoch(epoch.run_id, epoch.counter - 1))
            case "foreign probe":
                await world.report(found, login, 4, True, probe="paper-order")
            case "three of five":
                await world.report(found, login, 4, False)
            case "late":
                await world.report(found, login, 4, True)
        await self._judged(found.run.run_id)
        assert await world.run_status(found.run.run_id) in ("failed", "abandoned"), how  # I9, F11
        self.oracle.tripped(name)

    async def _redis_time(self, wanted: float) -> None:
        async def reached() -> bool:
            seconds, micros = await self.world.raw("owner", "TIME")
            return int(seconds) + int(micros) / 1e6 > wanted

        await self.world.until(reached, "time to pass")

    @rule(name=breakers, login=people)
    @only_if(lambda self: self.world.acting)
    def close(self, name: BreakerId, login: str) -> None:
        self.do(self._close(name, login))

    async def _close(self, name: BreakerId, login: str) -> Outcome:
        asked_at = time.monotonic()
        self.oracle.learn(await self.world.counters())
        outcome = await self.world.ask(Kind.CLOSE, name, login)
        self._close_came_to(name, outcome, asked_at)
        return outcome

    def _close_came_to(self, name: BreakerId, outcome: Outcome, asked_at: float) -> None:
        DONE[f"close {outcome.word}"] += 1
        if outcome.word == "refused":
            WHY[outcome.message[:60]] += 1
        if outcome.word == "done":
            assert outcome.epoch is not None
            self.oracle.closed(name, outcome.epoch, asked_at)

    @rule(name=breakers, interrupt=st.sampled_from(("", "", "trip")))
    @only_if(lambda self: self.world.acting)
    def whole_resume(self, name: BreakerId, interrupt: str) -> None:
        self.do(self._whole_resume(name, interrupt))

    @rule()
    @only_if(lambda self: self.world.acting)
    def resume_btc(self) -> None:
        """Once more, so that enough examples get as far as a close."""
        self.do(self._whole_resume(BTC, ""))

    async def _whole_resume(self, name: BreakerId, interrupt: str) -> None:
        """From the top down, as the hierarchy wants it."""
        for each in (*reversed(self.world.settings.catalogue.ancestors(name)), name):
            if (await self.world.states())[each] is not State.OPEN:
                continue
            outcome = await self._half_open(each, "admin1")
            if outcome.word == "pending" and self.oracle.pending:
                await self._approve(self.oracle.pending[-1], "admin2")
            await self._probe_honestly(each, None)
            if interrupt and each == name:
                await self._trip(each, "admin2")
            last = await self.world.fetch("SELECT extract(epoch FROM max(taken_at))::float8 FROM reset_slots")
            await self._redis_time((last or 0.0) + RESET_S)
            if (await self._close(each, "admin1")).word == "done":
                await self._redis_time(time.time() + QUIET_S)
                await self._ended(each)

    async def _ended(self, name: BreakerId) -> None:
        async def over() -> bool:
            return (await self.world.states())[name] is not State.QUIET_PERIOD

        await self.world.until(over, f"the quiet period of {name} ended")

    # Sizes: what limits them, and what gives them back.

    @rule(name=breakers, login=people, share=st.sampled_from(SHARES))
    @only_if(lambda self: self.world.acting and len(self.oracle.limits) < 6)
    def limit(self, name: BreakerId, login: str, share: str) -> None:
        self.do(self._limit(name, login, share))

    async def _limit(self, name: BreakerId, login: str, share: str) -> None:
        outcome = await self.world.ask(Kind.LIMIT, name, login, target=share)
        DONE[f"limit {outcome.word}"] += 1
        assert outcome.word != "done" or name != GLOBAL or login.startswith("admin")  # I22
        if outcome.word == "done":
            assert outcome.event_id is not None
            self.oracle.limits[outcome.event_id] = (name, Decimal(share))

    @rule(login=st.sampled_from(("operator1", "admin1", "monitor1")), which=st.integers(0, 9))
    @only_if(lambda self: self.world.acting and self.oracle.limits)
    def lift(self, login: str, which: int) -> None:
        self.do(self._lift(login, sorted(self.oracle.limits)[which % len(self.oracle.limits)]))

    @rule(name=breakers, share=st.sampled_from(SHARES), between=st.sampled_from(("", "trip")))
    @only_if(lambda self: self.world.acting)
    def limit_for_a_while(self, name: BreakerId, share: str, between: str) -> None:
        """Once more, so that enough examples see a limit come and go."""
        self.do(self._limit_for_a_while(name, share, between))

    async def _limit_for_a_while(self, name: BreakerId, share: str, between: str) -> None:
        before = set(self.oracle.limits)
        await self._limit(name, "admin1", share)
        self._check(await self.world.gate.survey(), "after a limit", watch=False)
        if between:
            await self._trip(name, "admin2")
        await self.world.settled()
        for limit_id in set(self.oracle.limits) - before:
            await self._lift("admin1", limit_id)

    async def _lift(self, login: str, limit_id: str) -> None:
        name, share = self.oracle.limits.pop(limit_id)  # it may happen at any moment from here
        outcome = await self.world.ask(Kind.LIFT, name, login, target=limit_id)
        DONE[f"lift {outcome.word}"] += 1
        if outcome.word == "refused":
            self.oracle.limits[limit_id] = (name, share)
            WHY[outcome.message[:60]] += 1
        assert outcome.word != "done" or login != "monitor1"  # I22

    @rule(slo=st.sampled_from((ORDERS, FILLS)), left=st.sampled_from((GREEN, ORANGE, None)))
    def spend(self, slo: Slo, left: Decimal | None) -> None:
        self.do(self._spend(slo, left))

    async def _spend(self, slo: Slo, left: Decimal | None) -> None:
        self.world.budgets.left[slo.name] = left
        if not self.world.acting or self.oracle.unread:
            return

        async def obeyed() -> bool:
            decision = (await self.world.gate.survey())[slo.breaker]
            return left != ORANGE or decision.size_share <= Decimal("0.5")

        await self.world.until(obeyed, "the size that the budget leaves")
        DONE[f"budget {left}"] += 1

    # An attacker with every right of a person's login.

    @rule(name=breakers, login=people, what=st.sampled_from(FORBIDDEN), which=st.integers(0, 99))
    @only_if(lambda self: self.old_documents)
    def write_by_force(self, name: BreakerId, login: str, what: tuple[str, ...], which: int) -> None:
        self.do(self._write_by_force(name, login, what, self.old_documents[which % len(self.old_documents)]))

    async def _write_by_force(
        self, name: BreakerId, login: str, what: tuple[str, ...], document: bytes
    ) -> None:
        filled = [part.format(name=name, document=document.decode()) for part in what]
        with pytest.raises(Refused):  # I22
            await self.world.raw(login, *filled)

    @rule(login=people, which=st.integers(0, 99))
    @only_if(lambda self: self.world.acting)
    def replay_request(self, login: str, which: int) -> None:
        self.do(self._replay_request(login, which))

    async def _replay_request(self, login: str, which: int) -> None:
        async with self.world.platform.connection(login) as raw:
            rows = await raw.fetch("SELECT * FROM requests WHERE status = 'done' ORDER BY arrival")
            if not rows:
                return
            old = rows[which % len(rows)]
            replayed = await raw.fetchval(
                "INSERT INTO requests (request_id, payload, key_id, signature)"
                " VALUES (gen_random_uuid(), $1, $2, $3) RETURNING request_id::text",
                old["payload"], old["key_id"], old["signature"],
            )  # fmt: skip
            row = await self.world.row(replayed, login)
            assert row.status == "rejected", row  # I8, I20

    @rule(login=st.sampled_from(("operator1", "operator2", "admin1")), which=st.integers(0, 99))
    def replay_event(self, login: str, which: int) -> None:
        self.do(self._replay_event(login, which))

    async def _replay_event(self, login: str, which: int) -> None:
        entries = await self.world.raw(login, "XRANGE", "circuit_breaker:events", "-", "+")
        if entries:
            _, fields = entries[which % len(entries)]
            await self.world.raw(login, "XADD", "circuit_breaker:events", "*", *fields)

    @rule(name=breakers, which=st.integers(0, 9))
    @only_if(lambda self: self.old_results and State.HALF_OPEN in self.oracle.grants.values())
    def replay_results(self, name: BreakerId, which: int) -> None:
        self.do(self._replay_results(name, self.old_results[which % len(self.old_results)]))

    async def _replay_results(self, name: BreakerId, old: Any) -> None:
        """Signed results of an older run, under the id of the one that runs now."""
        found = await self._fresh_run(name)
        if found is None or found.run.run_id == old.run.run_id:
            return
        async with self.world.platform.connection(old.run.login) as raw:
            for each in await raw.fetch("SELECT * FROM probe_results WHERE run_id = $1", old.run.run_id):
                await raw.execute(
                    "INSERT INTO probe_results"
                    " (run_id, ordinal, name, passed, latency_ms, detail, payload, key_id, signature)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    found.run.run_id, *(each[part] for part in
                    "ordinal name passed latency_ms detail payload key_id signature".split()),
                )  # fmt: skip
        if self.world.acting:
            await self._judged(found.run.run_id)
            assert await self.world.run_status(found.run.run_id) != "passed"  # I2, I9
            self.oracle.tripped(name)

    # Authorities and servers that come and go.

    @rule(rarely=st.integers(0, 1))
    @only_if(lambda self: self.world.authorities)
    def stop_authority(self, rarely: int) -> None:
        if rarely == 0:
            self.do(self.world.stop(self.world.acting or self.world.authorities[0]))

    @rule()
    @only_if(lambda self: not self.world.authorities)
    def start_authority(self) -> None:
        self.do(self._start_authority())

    async def _start_authority(self) -> None:
        await self.world.start("first")
        await self._taken_over()

    async def _taken_over(self) -> None:
        """A new term has put in order what it found."""
        await self.world.settled()
        self.oracle.unread = False
        if self.flushed_from:
            before, self.flushed_from = self.flushed_from, {}
            await self._raised(before)
        if self.oracle.foreign:

            async def mirrored() -> bool:
                text = await self.world.fetch(
                    "SELECT document FROM breakers WHERE breaker_id = 'global' AND state = 'OPEN'"
                )
                raw = await self.world.raw("owner", "GET", "circuit_breaker:state")
                return (
                    bool(text)
                    and raw is not None
                    and json.loads(raw)["event_id"] == json.loads(text)["event_id"]
                )

            await self.world.until(mirrored, "the foreign legacy key answered")
            self.oracle.tripped(GLOBAL, (await self.world.counters())[GLOBAL])
            self.oracle.foreign = False
        self.oracle.learn(await self.world.counters())

    @rule()
    @only_if(lambda self: len(self.world.authorities) == 1)
    def start_second(self) -> None:
        self.do(self.world.start("second", wait=False))

    @rule(
        name=breakers,
        kind=st.sampled_from((Kind.HALF_OPEN, Kind.CLOSE, Kind.TRIP, Kind.LIMIT, Kind.LIFT)),
        point=st.sampled_from(faults.POINTS),
    )
    @only_if(lambda self: self.world.acting)
    def crash(self, name: BreakerId, kind: Kind, point: str) -> None:
        self.do(self._crash(name, kind, point))

    async def _crash(self, name: BreakerId, kind: Kind, point: str) -> None:
        """SIGKILL between two steps of a commit, then a new process of the same holder (F7, F23)."""
        await self._calm()
        running = await self.world.acts()
        self.oracle.learn(await self.world.counters())
        asked_at = time.monotonic()
        running.trap.point = point
        if kind is Kind.TRIP:
            await self._trip(name, "admin1")
            await self._dies(running, "")
            return
        if kind in (Kind.LIMIT, Kind.LIFT):
            await self._crash_sizing(running, kind, name, point)
            return
        command = await self.world.submit(kind, name, "admin1")
        await self._dies(running, command.request_id)
        row = await self.world.row(command.request_id, "admin1")
        DONE[f"crash {point}: {kind} {row.status}"] += 1
        epoch = command.epoch.counter if command.epoch else 0
        if row.status == "awaiting_approval":
            self.oracle.pending.append(Pending(command.request_id, name, "admin1", epoch))
        elif row.status == "done" and kind is Kind.HALF_OPEN:
            assert name != GLOBAL
            self.oracle.begun(name, epoch)
        elif row.status == "done":
            self.oracle.closed(name, epoch, asked_at)

    async def _crash_sizing(self, running: Running, kind: Kind, name: BreakerId, point: str) -> None:
        limits = self.oracle.limits
        if kind is Kind.LIFT and not limits:
            running.trap.point = None
            return
        limit_id = min(limits, default="")
        name, share = limits.pop(limit_id) if kind is Kind.LIFT else (name, Decimal("0.6"))
        target = limit_id if kind is Kind.LIFT else str(share)
        command = await self.world.submit(kind, name, "admin1", target=target)
        await self._dies(running, command.request_id)
        row = await self.world.row(command.request_id, "admin1")
        DONE[f"crash {point}: {kind} {row.status}"] += 1
        assert row.status in ("done", "void", "refused"), row
        if kind is Kind.LIMIT:
            assert row.outcome is not None and row.status == "done", row
            if row.outcome["outcome"] == "done":
                limits[command.request_id] = (name, share)
        elif row.status != "done":
            limits[limit_id] = (name, share)

    async def _dies(self, running: Running, request_id: str) -> None:
        async def over() -> bool:
            if running.trap.reached.is_set() or not request_id:
                return running.trap.reached.is_set() or not self.world.acting or await self._quiet_turn()
            status = await self.world.fetch("SELECT status FROM requests WHERE request_id = $1", request_id)
            return status not in ("new", "committing")

        await self.world.until(over, "the trap or an outcome")
        await self.world.kill(running)
        await self.world.start(running.holder)
        await self._taken_over()

    async def _quiet_turn(self) -> bool:
        await self.world.settled()
        return True

    @rule(rarely=st.integers(0, 1))
    def kill_redis(self, rarely: int) -> None:
        if rarely == 0:
            self.do(self._kill_redis())

    async def _kill_redis(self) -> None:
        self.oracle.learn(await self.world.counters())
        self.oracle.restarted()
        await asyncio.to_thread(self.world.platform.valkey.kill)
        await asyncio.to_thread(self.world.platform.valkey.start)
        if self.world.acting:
            await self._taken_over()

    @rule(rarely=st.integers(0, 2), then=st.one_of(st.none(), breakers))
    def flushall(self, rarely: int, then: BreakerId | None) -> None:
        if rarely == 0:
            self.do(self._flushall(then))

    async def _flushall(self, then: BreakerId | None) -> None:
        """Everything is gone; `then` is tripped before any authority can have noticed."""
        world = self.world
        if world.acting:
            await world.settled()
        elif self.oracle.unread or self.oracle.foreign or self.flushed_from or not await self._audited_now():
            return  # what no authority had audited before its Redis was emptied is known to nobody
        before = await world.counters()
        await world.raw("owner", "FLUSHALL")
        self.oracle.flushed()
        if then is not None:
            await self._trip(then, "admin1")
        if world.acting:
            await self._raised(before)
        else:
            self.flushed_from = before

    async def _audited_now(self) -> bool:
        counters = await self.world.counters()
        async with self.world.platform.connection() as connection:
            rows = await connection.fetch("SELECT breaker_id, counter FROM breakers")
        return all(row["counter"] == counters[row["breaker_id"]] for row in rows)

    async def _raised(self, before: dict[BreakerId, int]) -> None:
        async def past() -> bool:
            after = await self.world.counters()
            return all(after[name] > counter for name, counter in before.items())

        await self.world.until(past, "counters raised past the known ones")  # F1
        await self.world.settled()
        self.oracle.learn(await self.world.counters())

    @rule(login=st.sampled_from(("admin1", "operator1")))
    @only_if(lambda self: self.world.acting and self.oracle.restorable)
    def restore(self, login: str) -> None:
        self.do(self._restore(login))

    async def _restore(self, login: str) -> None:
        await self.world.settled()
        self.oracle.learn(await self.world.counters())
        outcome = await self.world.ask(Kind.RESTORE, GLOBAL, login)
        DONE[f"restore {outcome.word}"] += 1
        assert login == "admin1" or outcome.word == "refused"  # I22
        if outcome.word == "done":
            self.oracle.restored()

    @rule(share=st.sampled_from((0.3, 1.0)))
    def let_time_pass(self, share: float) -> None:
        self.do(self._redis_time(time.time() + share * RESET_S))

    # What must hold after every step.

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "oracle"):
            self.do(self._holds())

    async def _holds(self) -> None:
        counters = await self.world.counters()
        for name, counter in self.oracle.counters.items():
            assert counters[name] >= counter, f"{name} went down from {counter}"  # I2
        self.oracle.learn(counters)
        self._check(await self.world.gate.survey(), "after a step")
        await self._collect()
        await self.world.verify_audit()  # I24

    def _check(self, decisions: Any, when: str, watch: bool = True) -> None:
        for name, decision in decisions.items():
            loosest = self.oracle.loosest(name)
            assert decision.effective_state.strictness >= loosest.strictness, (
                f"{when}: {name} is {decision.effective_state}, at most {loosest} justified; {decision.why}"
            )  # I1, I4, I5
            assert decision.size_share <= self.oracle.largest(name), (
                f"{when}: {name} trades at {decision.size_share}, limited to {self.oracle.largest(name)}"
            )
            if watch and decision.effective_state is State.QUIET_PERIOD:
                assert 0 < decision.size_share < 1

    async def _collect(self) -> None:
        """What an attacker may have kept."""
        for name in BREAKERS:
            raw = await self.world.raw("operator1", "GET", f"breaker:{name}")
            if raw and raw not in self.old_documents:
                self.old_documents.append(raw)
        raw = await self.world.raw("operator1", "GET", "circuit_breaker:state")
        if raw and raw not in self.old_legacy and b"TRIPPED" not in raw and b'"x"' not in raw:
            self.old_legacy.append(raw)

    async def _whole_audit(self) -> None:
        """The log alone proves it: every close by a passed run of its epoch, used once, with its evidence."""
        entries = await self.world.audit()
        proved: dict[str, str] = {}
        used: set[str] = set()
        for entry in entries:
            details = json.loads(entry.details)
            match entry.action:
                case "CIRCUIT_BREAKER_TRIP" | "STATE_LOSS_DETECTED":
                    for name in details.get("breakers", [entry.target]):
                        proved.pop(name, None)
                case "PROBES_PASSED":
                    proved[entry.target] = entry.event_id
                case "CIRCUIT_BREAKER_RESET":
                    run = details["run_id_of_probes"]
                    assert proved.get(entry.target) == run, f"entry {entry.seq}: closed without a run"  # I1
                    assert run not in used, f"entry {entry.seq}: one run closed twice"  # I10
                    used.add(run)
            if entry.evidence_sha256 and entry.action in LOOSENED:
                key = (entry.evidence_link or "").removeprefix(self.world.evidence.link(""))
                assert await self.world.evidence.get(key) is not None, f"entry {entry.seq}: no evidence"  # I7
        async with self.world.platform.connection() as connection:
            slots = await connection.fetch("SELECT taken_at FROM reset_slots ORDER BY taken_at")
        for first, second in itertools.pairwise(slots):
            assert (second["taken_at"] - first["taken_at"]).total_seconds() >= RESET_S  # I12


LOOSENED: Final = {
    "CIRCUIT_BREAKER_HALF_OPEN",
    "CIRCUIT_BREAKER_EXTEND",
    "CIRCUIT_BREAKER_RESET",
    "CIRCUIT_BREAKER_QUIET_END",
    "CIRCUIT_BREAKER_RESTORE",
    "CIRCUIT_BREAKER_LIFT",
}


def test_no_interleaving_loosens_what_nobody_proved(
    template: Template, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """# I1 I2 I3 I4 I5 I8 I9 I10 I11 I12 I19 I20 I22 I24"""
    BreakerMachine.template = template
    BreakerMachine.folder = tmp_path_factory.mktemp("machine")
    DONE.clear()
    thorough = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
    run_state_machine_as_test(
        BreakerMachine,
        settings=settings(
            max_examples=120 if thorough else 26,
            stateful_step_count=35,
            deadline=None,
            derandomize=not thorough,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),
        ),
    )
    print(dict(DONE), dict(WHY))
    assert DONE["close done"] >= 3, DONE  # else nothing was tried
    assert DONE["half-open done"] >= 5, DONE
    assert DONE["limit done"] >= 5 and DONE["lift done"] >= 2, DONE
